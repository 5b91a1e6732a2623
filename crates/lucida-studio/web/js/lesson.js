// The card of a lesson, next to the page that its current step is about.

import { $, ask, el, look, path, say, stored, view, whenBack } from './core.js';
import { ABOUT, LESSONS } from './lesson-texts.js';
import { here, pageUrl } from './transport.js';

/** Time between two looks at whether a task is done, in milliseconds. */
const LOOK = 400;
/** Time for a page to have its content, in milliseconds. */
const SETTLE = 700;
/** The pages that lessons are about. */
const PAGES = new Set(LESSONS.flatMap(({ steps }) => steps.map(({ page }) => page)));
/** The network whose layers the lessons name, and how many models are asked for it. */
const NETWORK = 'mnist_cnn';
const ASKED = 8;

/** The tasks that have been done, as an object with their keys, such as `1.2`. */
const done = stored('lucida-lessons');
export const tasksDone = () => done.get() ?? {};
/** The last step shown in this tab: the focus moves to a new one. */
const last = stored('lucida-lesson', sessionStorage);

const key = (lesson, step) => `${lesson + 1}.${step + 1}`;
/** URL of a step. */
export const stepUrl = (lesson, step) => pageUrl(LESSONS[lesson].steps[step].page, { ...LESSONS[lesson].steps[step].view, lesson: key(lesson, step) });

/** Stands in URLs for what `digits()` returns: runs have other names elsewhere. */
export const MINE = 'my-digits';
/** Returns the newest digit network that a run has trained, or the built-in one. */
export async function digits() {
  const runs = (await ask('/api/models')).filter(({ group }) => group === 'Runs').slice(0, ASKED);
  for (const { id } of runs) {
    const model = await ask(path`/api/models/${id}`).catch(() => null);
    if (model?.digits && model.network === NETWORK) return id;
  }
  return 'digits';
}

/** Shows the card of the lesson that the URL names, if it does, now and after Back. */
export function showLesson() {
  show();
  whenBack(show);
}

function removeCard() {
  $('#lesson')?.remove();
  document.body.classList.remove('with-lesson', 'lesson-folded');
}

function show() {
  removeCard();
  const [lesson, step] = (view.lesson ?? '').split('.').map((text) => Number(text) - 1);
  const { title, steps } = LESSONS[lesson] ?? { steps: [] };
  if (!steps[step] || !PAGES.has(here)) return;
  const card = el('aside', { id: 'lesson', class: 'lesson', 'aria-labelledby': 'lesson-title' });
  const body = el('div', { class: 'lesson-body', id: 'lesson-body' });
  const fold = el('button', { class: 'quiet', 'aria-expanded': 'true', 'aria-controls': 'lesson-body', onclick: () => {
    body.hidden = !body.hidden;
    fold.setAttribute('aria-expanded', String(!body.hidden));
    fold.textContent = body.hidden ? 'Unfold' : 'Fold';
    document.body.classList.toggle('lesson-folded', body.hidden);
  } }, 'Fold');
  const close = () => {
    removeCard();
    look({ lesson: undefined }, { quietly: true });
  };
  card.append(
    el('header', {}, el('p', { class: 'eyebrow' }, `Lesson ${lesson + 1}: ${title}. Step ${step + 1} of ${steps.length}`), fold, el('button', { class: 'quiet', onclick: close, 'aria-label': 'Close the lesson' }, 'Close')),
    el('h2', { id: 'lesson-title', tabindex: '-1' }, steps[step].title), body);
  fill(body, lesson, step);
  document.body.append(card);
  document.body.classList.add('with-lesson');
  if (last.get() !== view.lesson) $('#lesson-title').focus({ preventScroll: true });
  last.set(view.lesson);
  setTimeout(uncover, SETTLE, card);
}

/** Scrolls to what the step is about, unless the card is next to the page or the user has scrolled. */
function uncover(card) {
  const about = $(ABOUT[here]);
  if (!card.isConnected || scrollY > 0 || card.offsetTop === 0 || !about) return;
  about.scrollIntoView({ block: 'start' });
}

function fill(body, lesson, step) {
  const { page, text, task, question, answer } = LESSONS[lesson].steps[step];
  if (page !== here) body.append(el('p', {}, el('a', { class: 'button', href: stepUrl(lesson, step) }, 'Go to the page of this step')));
  body.append(...text.map((paragraph) => el('p', {}, paragraph)), taskOf(lesson, step, task),
    el('details', {}, el('summary', {}, question), el('p', {}, answer)), moves(lesson, step));
}

/** The task, which ticks itself once it is done. */
function taskOf(lesson, step, task) {
  const { done: isDone, page } = LESSONS[lesson].steps[step];
  const state = el('span', { class: 'lesson-state', role: 'status' });
  const shown = el('p', { class: 'lesson-task' }, el('b', {}, 'To do'), el('span', {}, task), state);
  const tick = () => {
    shown.classList.add('done');
    state.textContent = 'Done';
  };
  const start = { ...view };
  const timer = setInterval(() => {
    if (!shown.isConnected || page !== here || !isDone({ view, start })) return;
    clearInterval(timer);
    done.set({ ...tasksDone(), [key(lesson, step)]: true });
    tick();
  }, LOOK);
  if (tasksDone()[key(lesson, step)]) state.textContent = 'Done before';
  return shown;
}

/** Links to the steps before and after, and one to share. */
function moves(lesson, step) {
  const { steps } = LESSONS[lesson];
  const next = step + 1 < steps.length ? [lesson, step + 1] : lesson + 1 < LESSONS.length ? [lesson + 1, 0] : null;
  return el('nav', { class: 'lesson-moves', 'aria-label': 'Steps of the lesson' },
    step > 0 ? el('a', { class: 'button', href: stepUrl(lesson, step - 1) }, 'Back') : null,
    next ? el('a', { class: 'button primary', href: stepUrl(...next) }, next[0] === lesson ? 'Next' : 'Next lesson') : null,
    el('a', { class: 'button', href: pageUrl('/lessons') }, 'All lessons'),
    el('button', { onclick: share }, 'Copy link'));
}

/** Copies the URL of the step and of the view. It names no run of this machine: others have their own. */
async function share({ currentTarget: button }) {
  const url = new URL(location.href);
  if (url.searchParams.get('model')?.startsWith('job-') || url.searchParams.get('model')?.startsWith('run-')) url.searchParams.set('model', MINE);
  url.searchParams.delete('job');
  url.searchParams.delete('run');
  try {
    await navigator.clipboard.writeText(url.href);
    say('The link is copied.');
  } catch {
    // Browsers give the clipboard to secure pages only.
    button.replaceWith(el('input', { type: 'text', readonly: true, value: url.href, 'aria-label': 'Link to this step', onfocus: (event) => event.currentTarget.select() }));
  }
}
