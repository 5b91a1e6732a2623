// The lessons: their texts, the page and the view of each step, and what is to be done there.
//
// The model `my-digits` is the newest digit network that was trained here, or the built-in one (see lesson.js). `done({ view, start })` tells whether the task of a
// step is done; `start` is the view at the start of the step.

import { $ } from './core.js';

/** Name of the current step of the mechanics page. */
const mechanics = () => $('#steps [aria-current]')?.textContent;
const reached = (...names) => () => names.includes(mechanics());
/** Number of the chosen weight in the grids of the mechanics page. */
const weight = () => [...document.querySelectorAll('#grids button.cell')].findIndex((cell) => cell.getAttribute('aria-pressed') === 'true');
/** The validation accuracy of the run that is shown, in percent; 0 before its first epoch. */
const accuracy = () => Number($('#run-note')?.textContent.match(/alidation accuracy ([\d.]+) %/)?.[1] ?? 0);
const explained = ({ view }) => view.job !== undefined && $('img[alt^="Attribution map"]') !== null;
const chosenAndMaximized = ({ view }) => view.channel !== undefined && $('#filter img[alt^="The input that maximizes"]') !== null;
/** The digit that is read with some certainty; undefined if there is none. */
const read = () => (parseFloat($('#bars li.best .value')?.textContent) >= 60 ? $('#bars').dataset.best || undefined : undefined);

/** Whether a training was started, and whether something was drawn, on this page. */
let [started, drew] = [false, false];
document.addEventListener('submit', ({ target }) => { started ||= target.id === 'train-form'; });
for (const kind of ['pointerup', 'keyup']) document.addEventListener(kind, ({ target }) => { drew ||= target.id === 'pad'; });

/** Whether another pixel of the same map is chosen than the page has chosen by itself. */
const otherPixel = ({ view, start }) => {
  start.at ??= view.at;
  return ['image', 'layer', 'channel'].every((key) => String(view[key]) === String(start[key])) && String(view.at) !== String(start.at);
};

/** What a step is about, by its page: it is scrolled into view above the card. */
export const ABOUT = { '/mechanics': '.mechanics', '/train': '.train', '/draw': '#draw', '/': '#maps', '/explain': '.explain' };

export const LESSONS = [
  {
    title: 'What a convolution does',
    says: 'A small window slides over the image. Its numbers are multiplied, added up, and become one pixel of a new image.',
    minutes: 5,
    steps: [
      {
        title: 'A window on the image',
        page: '/mechanics',
        view: { model: 'my-digits', image: 'digit-7', layer: 'conv2d', channel: 3 },
        text: ['The network does not see the whole image at once. It looks through a window of 3 × 3 pixels, here the red frame in the left image. From these nine numbers it computes one pixel of the right image, the feature map.'],
        task: 'Choose another pixel of the feature map: click it, or move with the arrow keys.',
        done: otherPixel,
        question: 'Where is the window when you choose a pixel at the edge of the feature map?',
        answer: 'Partly outside of the image. There are no pixels there, so the network takes zeros (this is called padding). That is why the feature map is as large as the image.',
      },
      {
        title: 'Multiply and add',
        page: '/mechanics',
        view: { model: 'my-digits', image: 'digit-7', layer: 'conv2d', channel: 3 },
        text: ['Each of the nine numbers in the window is multiplied by the weight at the same place of the kernel. The nine products and one more number, the bias, are added up. That sum is all that a convolution computes, again and again, at every position.'],
        task: 'Press Next until you see the sum.',
        done: reached('Sum', 'Activation', 'Loss', 'Kernel gradient', 'Input gradient'),
        question: 'The kernel is the same at every position. What is that good for?',
        answer: 'What the kernel has learned to find, it finds anywhere in the image. And there is little to learn: 24 kernels of nine weights with a bias each are 240 numbers. A dense layer from the 784 pixels to the 18,816 values of the feature maps would need almost 15 million weights.',
      },
      {
        title: 'Change the kernel',
        page: '/mechanics',
        view: { model: 'my-digits', image: 'digit-7', layer: 'conv2d', channel: 3 },
        text: ['The weights are ordinary numbers, and you may change them. Open the step Kernel, click a weight, and type another number, such as 2. The feature map and the prediction follow.'],
        task: 'Change a weight of the kernel.',
        done: () => $('#mech-verdict')?.textContent.includes('changed weight') ?? false,
        question: 'Take a kernel with −1 in its left column, 0 in the middle and 1 in its right column. What does it find?',
        answer: 'Vertical edges. It subtracts what is on the left from what is on the right: the sum is 0 where both are alike, and large where dark turns into bright.',
      },
    ],
  },
  {
    title: 'Train a network',
    says: 'All weights start as random numbers. Ten thousand examples later, the network reads digits.',
    minutes: 5,
    steps: [
      {
        title: 'Start',
        page: '/train',
        view: {},
        text: ['A new network knows nothing: its weights are random. Training shows it digits with the right answers, a batch at a time, and changes each weight a little so that the answers get better. When it has seen all of the training digits once, an epoch is over.'],
        task: 'Press Start training. Three epochs are enough.',
        done: () => started && $('#runs [data-run]') !== null,
        question: 'How many of 100 digits would the untrained network get right?',
        answer: 'About ten. It cannot do better than guess, and one of ten classes is the right one.',
      },
      {
        title: 'Read the curves',
        page: '/train',
        view: {},
        text: ['The thin line is the accuracy on the digits that the network trains on. The thick one is the accuracy on validation digits, which it never trains on. The second chart shows the loss: how far the answers are from the right ones.'],
        task: 'Wait until the validation accuracy is above 90 %, and point at a curve to read its values.',
        done: () => accuracy() > 90 && $('.chart-values:not(:empty)') !== null,
        question: 'Why are there digits that it does not train on?',
        answer: 'A network could learn its training digits by heart and still fail on new ones: this is called overfitting. The validation digits are new to it, so they show what it has really learned.',
      },
      {
        title: 'Go back in time',
        page: '/train',
        view: {},
        text: ['Below the curves, Inside the network shows the kernels, the feature maps, and a dot for each of 300 digits: dots are close together when the network finds their digits alike. The timeline goes back to any epoch.'],
        task: 'Move the timeline to epoch 0, before the training.',
        done: ({ view }) => String(view.epoch) === '0',
        question: 'Dots of one color gather during the training. Why?',
        answer: 'The last layer can only draw straight borders between the digits. So the layers before it learn to move the sevens to one side of such a border, and the ones to the other.',
      },
    ],
  },
  {
    title: 'What the layers see',
    says: 'Each layer makes new images from the image: first edges, then parts, then the answer.',
    minutes: 5,
    steps: [
      {
        title: 'Draw a digit',
        page: '/draw',
        view: { model: 'my-digits' },
        text: ['Draw with the mouse or a finger. With every stroke, the image passes through all layers, and you see their feature maps: bright where a filter has found what it looks for.'],
        task: 'Draw a digit that the network reads.',
        done: () => drew && read() !== undefined,
        question: 'Some feature maps stay black, whatever you draw. What does that mean?',
        answer: 'Their filters find nothing in this image, or have learned nothing: a sum below zero becomes zero (ReLU), and zero is black.',
      },
      {
        title: 'Confuse it',
        page: '/draw',
        view: { model: 'my-digits' },
        text: ['The bars are probabilities, which add up to 100 %. A single stroke can turn one digit into another: a 1 into a 7, a 3 into an 8.'],
        task: 'Add strokes until the network reads another digit.',
        done: ({ start }) => { start.best ??= read(); return start.best !== undefined && read() !== undefined && read() !== start.best; },
        question: 'Draw something other than a digit, such as a house. Why does the network still name one?',
        answer: 'It has ten answers and no other, and their probabilities always add up to 100 %. It was never shown anything that is not a digit, so it cannot say “none of these”.',
      },
      {
        title: 'The whole network',
        page: '/',
        view: { view: 'overview', model: 'my-digits', image: 'digit-7' },
        text: ['This is the whole network, from the image on the left to the ten answers on the right. Point at a feature map: the maps that it is computed from light up. Click it to see the computation.'],
        task: 'Choose a feature map.',
        done: ({ view }) => view.channel !== undefined,
        question: 'Why do the maps get smaller from left to right?',
        answer: 'Each max pooling keeps the largest of 2 × 2 values. What is lost is where exactly something is; what is gained is that the next window of 3 × 3 covers a larger part of the image.',
      },
    ],
  },
  {
    title: 'What filters and classes look like',
    says: 'Ask a filter what it wants to see: start from noise, and change the image until the filter responds as strongly as it can.',
    minutes: 6,
    steps: [
      {
        title: 'What a filter found here',
        page: '/',
        view: { view: 'layer', model: 'my-digits', image: 'digit-7', layer: 'conv2d_2' },
        text: ['Each pixel of a feature map looks at a part of the image, its receptive field. The deconvnet goes the other way: it carries the strongest pixel of a map back through the network and shows what in the image has caused it.'],
        task: 'Choose a feature map, and look at its deconvnet projection.',
        done: ({ view }) => view.channel !== undefined && $('#filter-body')?.hidden === false,
        question: 'The receptive field of the last convolution is 18 × 18 pixels. What could a filter see there that a window of 3 × 3 does not show?',
        answer: 'Parts of digits: a closed loop, the end of a stroke, a crossing. They are made of the edges that the first layer has found.',
      },
      {
        title: 'What a filter looks for',
        page: '/',
        view: { view: 'layer', model: 'my-digits', image: 'digit-7', layer: 'conv2d_2' },
        text: ['Activation maximization needs no example. It starts from noise and changes the pixels by the gradient, step by step, until the filter responds as strongly as it can. The result is below the projection.'],
        task: 'Choose a feature map, and look at the input that maximizes its filter.',
        done: chosenAndMaximized,
        question: 'Nobody would draw this. Why does the filter like it more than any real digit?',
        answer: 'It is only asked what the filter responds to most, not what looks like a digit. The pattern repeats the part that the filter looks for, everywhere and as clearly as possible.',
      },
      {
        title: 'What a class looks like',
        page: '/',
        view: { view: 'layer', model: 'my-digits', image: 'digit-7', layer: 'dense_1' },
        text: ['The last layer has a unit for each digit. The same method finds the input for which the network is most certain of it.'],
        task: 'Choose the unit 3, and look at the input that maximizes it.',
        done: chosenAndMaximized,
        question: 'Compare it with the threes that people write. What is alike, and what is not?',
        answer: 'What distinguishes a 3 from the other digits is there, and stronger than anyone would draw it. The rest may be anything: the network has learned to recognize a 3, not to draw one.',
      },
    ],
  },
  {
    title: 'Why this answer',
    says: 'Which pixels speak for the prediction, and which against it? Twelve methods answer, and do not always agree.',
    minutes: 5,
    steps: [
      {
        title: 'Evidence',
        page: '/explain',
        view: { model: 'my-digits', image: 'digit-7' },
        text: ['An attribution map marks the pixels that a prediction depends on. Some maps have two colors: red speaks for the class, blue against it.'],
        task: 'Press Explain, and compare the maps.',
        done: explained,
        question: 'Some dark pixels, where there is no ink, are marked too. How can nothing be evidence?',
        answer: 'What is missing can decide: ink on the left would turn this 3 into an 8. That there is none speaks for the 3.',
      },
      {
        title: 'Another class',
        page: '/explain',
        view: { model: 'my-digits', image: 'digit-7' },
        text: ['You can ask about a class that the network did not choose: what in this image speaks for it?'],
        task: 'Choose another class, and press Explain.',
        done: (now) => explained(now) && $('input[name="class"]:checked')?.value !== $('input[name="class"]')?.value,
        question: 'Where is the evidence for an 8 in a 3?',
        answer: 'Mostly in what both share, the curves on the right. What speaks against the 8 is on the left, where its loops would be closed.',
      },
      {
        title: 'Can a map be trusted?',
        page: '/explain',
        view: { model: 'my-digits', image: 'digit-7' },
        text: ['Below each map are two scores. Deletion removes the marked pixels first: a good map makes the probability fall fast, so a low score is good. Insertion starts from a blurred image and shows them first: here a high score is good.'],
        task: 'Press Explain, and sort the maps by deletion or by insertion.',
        done: (now) => explained(now) && ['insertion', 'deletion'].includes($('#order')?.value),
        question: 'One method has the best deletion score, another one the best insertion score. Which is right?',
        answer: 'Both are honest answers to different questions. Never trust a single map: compare methods, and try what happens to the prediction when you change the marked pixels.',
      },
    ],
  },
  {
    title: 'Step the gradient back',
    says: 'How does a weight learn that it was wrong? The error travels back through the network, one multiplication at a time.',
    minutes: 8,
    steps: [
      {
        title: 'The loss',
        page: '/mechanics',
        view: { model: 'my-digits', image: 'digit-172', layer: 'conv2d', channel: 5 },
        text: ['Training needs one number that says how wrong the answer is: the loss. It is −ln p, where p is the probability that the network gives to the true class; this page takes the predicted class for the true one. A confident, correct prediction has a loss near 0. About this digit, the network is not sure.'],
        task: 'Press Next until you reach the step Loss.',
        done: reached('Loss', 'Kernel gradient', 'Input gradient'),
        question: 'What would the loss be if the network gave the true class only 10 %?',
        answer: '−ln 0.1 = 2.3. At 1 % it would be 4.6: the surer the network is of a wrong answer, the faster the loss grows.',
      },
      {
        title: 'The gradient of a weight',
        page: '/mechanics',
        view: { model: 'my-digits', image: 'digit-172', layer: 'conv2d', channel: 5 },
        text: ['dL/dO tells how much the loss would change if one pixel of the feature map changed a little. A weight takes part in every pixel of the map, so its gradient is a sum over all of them: input times dL/dO, at each position.'],
        task: 'Go to the step Kernel gradient, and choose another weight.',
        // The first one is chosen until another is.
        done: () => mechanics() === 'Kernel gradient' && weight() > 0,
        question: 'The gradient of a weight is positive. In which direction does training change this weight?',
        answer: 'Down. A positive gradient means that a larger weight makes the loss larger, so training subtracts a small part of the gradient: the learning rate says how small.',
      },
      {
        title: 'Back to the pixels',
        page: '/mechanics',
        view: { model: 'my-digits', image: 'digit-172', layer: 'conv2d', channel: 5 },
        text: ['The layers before this one must learn too, so the gradient has to reach their outputs, which are the inputs of this layer. That is a convolution again, with the kernel turned by 180°. In the first layer, the inputs are the pixels.'],
        task: 'Go to the step Input gradient.',
        done: reached('Input gradient'),
        question: 'Where have you seen the gradient of the pixels before?',
        answer: 'On the page Explain: the method Gradient is exactly this, for the score of a class. And activation maximization follows the same gradient, for the score of a filter.',
      },
    ],
  },
];
