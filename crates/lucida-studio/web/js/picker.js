// The image picker: the current image, and others to choose.

import { ask, attempt, el, look, notFound, path, turns, upload, view } from './core.js';

const STEP = 24;
/** The built-in image, for all networks except those of digits. */
const CAT = 'cat';

const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

/** A thumbnail to choose; `spoiled(thumb)` is called if the image cannot be read. */
export function thumb(id, name, pressed, choose, spoiled) {
  const button = el('button', { type: 'button', class: 'thumb', 'data-image': id, 'aria-pressed': pressed === null ? null : String(pressed), 'aria-label': name, title: name, onclick: () => choose(id) },
    el('img', { src: `${path`/api/images/${id}`}?side=96`, alt: '', loading: 'lazy', onerror: () => spoiled(button) }));
  return button;
}

/** Whether an image is an upload. */
export const isUpload = (id) => id?.startsWith('up-') === true;

/** The uploaded images. */
export const uploads = async () => ((await attempt(() => ask('/api/images'))) ?? []).map(({ id }, at) => ({ id, title: `your image ${at + 1}` }));

/** Puts the picker into `place`; `changed()` is called when the user chooses another image. */
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
  // Uploads, followed by images of the server.
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

  /** Describes the current image, and the source of the others if it is an upload. */
  function caption() {
    const broken = strip.querySelectorAll('.broken').length;
    const isBuiltin = view.image === CAT && !others.some(({ id }) => id === CAT);
    const isAlien = isUpload(view.image) || isBuiltin;
    title.textContent = capital(`${about.title}${isAlien ? `; the others are ${source}` : ''}${broken ? `; ${broken} ${isAlien ? 'of these' : `of the images shown`} cannot be read` : ''}`);
  }

  /** Marks an image that cannot be read. */
  function spoil(button, name) {
    button.classList.add('broken');
    button.disabled = true;
    button.title = `${name}: cannot be read`;
    button.setAttribute('aria-label', button.title);
    button.replaceChildren('×');
    caption();
  }

  /** Shows the current image; returns false if another one was chosen meanwhile. */
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

  /** Marks the current image among the thumbnails. */
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
    /** The name of the current image's true class; null if it is unknown. */
    truth: () => about.label,
    /** Lists the images for another model, and chooses one of them unless the current one is suitable. */
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
