// The image at hand, and others to take instead.

import { ask, attempt, el, look, notFound, path, turns, upload, view } from './core.js';

const STEP = 24;
/** The image that is built in, for all networks but those that read digits. */
const CAT = 'cat';

const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

/** A small image to choose; `spoiled(thumb)` is called for a file that is damaged, or no image. */
export function thumb(id, name, pressed, choose, spoiled) {
  const button = el('button', { type: 'button', class: 'thumb', 'data-image': id, 'aria-pressed': pressed === null ? null : String(pressed), 'aria-label': name, title: name, onclick: () => choose(id) },
    el('img', { src: `${path`/api/images/${id}`}?side=96`, alt: '', loading: 'lazy', onerror: () => spoiled(button) }));
  return button;
}

/** Whether an image is one that was uploaded. */
export const isUpload = (id) => id?.startsWith('up-') === true;

/** The images that were uploaded before. */
export const uploads = async () => ((await attempt(() => ask('/api/images'))) ?? []).map(({ id }) => ({ id, title: 'your image' }));

/** Puts the picker into `place`; `changed()` is called when another image is chosen, or the model sees it differently. */
export function picker(place, changed) {
  const image = el('img', { alt: 'The image after preprocessing' });
  const field = el('div', { class: 'field', hidden: true });
  const strip = el('div', { class: 'picker-strip', role: 'group', 'aria-label': 'Images to choose from', tabindex: '0' });
  const title = el('p', { class: 'fine' });
  const file = el('input', { type: 'file', accept: 'image/*', class: 'hidden-text', id: 'image-file', onchange: () => take(file.files[0]) });
  const more = el('button', { hidden: true, onclick: () => list(first + STEP) }, 'More images');
  place.replaceChildren(
    el('div', { class: 'picker-now' }, image, field),
    el('div', { class: 'picker-side' }, strip,
      el('div', { class: 'picker-actions' }, el('label', { class: 'button', for: 'image-file' }, 'Open an image'), file, more, title)));
  let [model, first, total] = [null, 0, 0];
  // Uploads, which stand before the images of the server.
  let [own, others] = [[], []];
  let source = '';
  let about = { title: '', label: null };
  let size = [1, 1];
  const [listTurn, showTurn] = [turns(), turns()];

  place.addEventListener('dragover', (event) => { event.preventDefault(); place.classList.add('drop'); });
  place.addEventListener('dragleave', () => place.classList.remove('drop'));
  place.addEventListener('drop', (event) => {
    event.preventDefault();
    place.classList.remove('drop');
    take(event.dataTransfer.files[0]);
  });

  async function take(chosen) {
    if (!chosen) return;
    const kept = await attempt(() => upload(chosen));
    file.value = '';
    if (!kept) return;
    own = [{ id: kept.id, title: 'your image' }, ...own.filter(({ id }) => id !== kept.id)];
    fill();
    await choose(kept.id);
  }

  async function list(from) {
    const current = listTurn();
    const part = await attempt(() => ask(`${path`/api/models/${model.id}/images`}?first=${from}&count=${STEP}`));
    if (!part || !current()) return;
    if (part.images.length === 0 && from > 0) return list(0);
    [first, total] = [from, part.total];
    source = total === 1 ? part.title : `from ${part.title}`;
    more.hidden = total <= STEP;
    others = part.images;
    fill();
    return part;
  }

  function fill() {
    strip.replaceChildren(...[...own, ...others].map(({ id, title: name }) => thumb(id, capital(name), id === view.image, choose, (broken) => spoil(broken, capital(name)))));
    caption();
  }

  /** What the image at hand is: an upload is not from the images of the server. */
  function caption() {
    const broken = strip.querySelectorAll('.broken').length;
    const isBuiltin = view.image === CAT && !others.some(({ id }) => id === CAT);
    const isAlien = isUpload(view.image) || isBuiltin;
    title.textContent = capital(`${about.title}${isAlien ? `; the others are ${source}` : ''}${broken ? `; ${broken} ${isAlien ? 'of these' : `of the images shown`} cannot be read` : ''}`);
  }

  /** A file that is damaged, or no image, is shown as such. */
  function spoil(button, name) {
    button.classList.add('broken');
    button.disabled = true;
    button.title = `${name}: cannot be read`;
    button.setAttribute('aria-label', button.title);
    button.replaceChildren('×');
    caption();
  }

  /** Shows the image at hand; false where another was chosen meanwhile. */
  async function show() {
    const current = showTurn();
    const seen = await ask(`${path`/api/models/${model.id}/seen`}?image=${encodeURIComponent(view.image)}`);
    if (!current()) return false;
    image.src = seen.image;
    about = seen;
    image.classList.toggle('pixels', seen.width < 128);
    size = [seen.height, seen.width];
    mark(null);
    caption();
    return true;
  }

  async function choose(id) {
    look({ image: id });
    mine(id);
    if (await attempt(show)) await changed();
  }

  /** Marks the image at hand among the others. */
  function mine(id) {
    for (const one of strip.children) one.setAttribute('aria-pressed', String(one.dataset.image === id));
    caption();
  }

  /** Outlines a part of the image: top, left, height, width in pixels. */
  function mark(part) {
    field.hidden = !part;
    if (!part) return;
    const to = (value, of) => `${(100 * Math.max(0, Math.min(value, of))) / of}%`;
    field.style.top = to(part.top, size[0]);
    field.style.left = to(part.left, size[1]);
    field.style.height = to(Math.min(part.height, size[0] - Math.max(0, part.top)), size[0]);
    field.style.width = to(Math.min(part.width, size[1] - Math.max(0, part.left)), size[1]);
  }

  return {
    mark,
    choose,
    /** The name of the true class of the image at hand; null where it is not known. */
    truth: () => about.label,
    /** Another model: its images, and one of them unless the one at hand will do. */
    async use(next) {
      const digits = model === null ? null : model.digits;
      model = next;
      more.hidden = true;
      own = await uploads();
      const part = await list(0);
      if (!part) return;
      const suits = (id) => id !== undefined && (isUpload(id) || part.images.length === 0 || (id === CAT && !next.digits) || id.split('-')[0] === part.images[0].id.split('-')[0]);
      const first = { image: part.images[0]?.id ?? CAT };
      const instead = () => {
        notFound('image', `There is no image “${view.image}” for this model; ${first.image} is shown.`);
        look(first, { quietly: true });
      };
      if (!suits(view.image) || (digits !== null && digits !== next.digits && !isUpload(view.image))) instead();
      if ((await show().catch(() => undefined)) === undefined) {
        instead();
        await attempt(show);
      }
      mine(view.image);
    },
  };
}
