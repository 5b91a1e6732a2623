// The style page: a content image, and three modes: optimization, one forward pass of a network, and its training.

import { $, look, notFound, path, stored, view, whenBack } from './core.js';
import { frame } from './frame.js';
import { optimizing } from './style-optimize.js';
import { onePass } from './style-pass.js';
import { styleTraining } from './style-train.js';
import { CAT, showTrays, takes, tray } from './style-images.js';

const LEADS = {
  optimize: 'Render one image in the style of others: gradient descent on the pixels matches the features of the content image and the Gram matrices of the style images.',
  pass: 'A network that has learned a style stylizes any image in one forward pass. The result, at most 1024 pixels wide or high, follows the sliders.',
  train: 'Train a network that stylizes in one pass. It learns from photos, with the losses that Optimize minimizes.',
};
/** The elements that are shown in each mode. */
const PARTS = {
  optimize: ['#make', '#styles-part', '#optimize-sliders', '#optimize-actions', '#optimize-main'],
  pass: ['#make', '#network-part', '#pass-sliders', '#pass-main', '#camera-toggle'],
  train: ['#teach'],
};

frame();

// The content.

/** The images that were chosen last. */
const images = stored('lucida-style-images');
const changes = [];
const content = {
  id: images.get()?.content ?? CAT.id,
  use(id) {
    content.id = id;
    images.set({ ...images.get(), content: id });
    $('#content-image').src = `${path`/api/images/${id}`}?side=512`;
    changes.forEach((changed) => changed());
  },
  onChange: (changed) => { changes.push(changed); },
};
takes($('#content-slot'), $('#content-file'), content.use);
tray($('#content-tray'), CAT, content.use);
/** Replaces an upload that the studio no longer keeps by the built-in image. */
$('#content-image').addEventListener('error', () => { if (content.id !== CAT.id) content.use(CAT.id); });

// The mode.

const optimize = optimizing(content, images);
const pass = onePass(content);
const train = styleTraining({ trained: pass.choose, stylize: (network) => { setMode('pass', { network }); pass.choose(network); } });

function show(mode) {
  for (const part of new Set(Object.values(PARTS).flat())) $(part).hidden = !PARTS[mode].includes(part);
  $('#style-lead').textContent = LEADS[mode];
  for (const radio of document.querySelectorAll('[name="mode"]')) radio.checked = radio.value === mode;
  pass.setActive(mode === 'pass');
}
const known = () => (view.mode in PARTS ? view.mode : 'optimize');
function setMode(mode, more = {}) {
  look({ mode, ...more });
  show(mode);
}
$('#modes').addEventListener('change', (event) => setMode(event.target.value));

/** Shows a notice if the URL names a mode that does not exist. */
function checkMode() {
  if (view.mode !== undefined && known() !== view.mode) notFound('mode', `There is no mode “${view.mode}”; Optimize is shown.`);
}

whenBack(() => {
  checkMode();
  show(known());
  optimize.back();
  pass.back();
  train.back();
});
content.use(content.id);
checkMode();
show(known());
showTrays();
