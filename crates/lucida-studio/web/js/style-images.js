// The images of the style page: from files, and from earlier uploads.

import { attempt, el, path, say, upload } from './core.js';
import { thumb, uploads } from './picker.js';

/** The built-in images. */
export const CAT = { id: 'cat', title: 'Chelsea, a cat' };
export const BRUSHWORK = { id: 'brushwork', title: 'Brush strokes' };
/** Maximum number of styles. */
export const STYLES = 4;

const trays = [];

/** Uploads files from the file input, and files dropped on `place`; `use(id, file)` is called for each. */
export function takes(place, input, use) {
  const taken = async (file) => {
    const kept = file && await attempt(() => upload(file));
    if (!kept) return;
    use(kept.id, file);
    await showTrays();
  };
  input.addEventListener('change', () => { taken(input.files[0]); input.value = ''; });
  place.addEventListener('dragover', (event) => { event.preventDefault(); place.classList.add('drop'); });
  place.addEventListener('dragleave', () => place.classList.remove('drop'));
  place.addEventListener('drop', (event) => {
    event.preventDefault();
    place.classList.remove('drop');
    [...event.dataTransfer.files].forEach(taken);
  });
}

/** Registers a place for earlier uploads and the built-in image, to choose from. */
export function tray(place, builtin, choose) {
  trays.push([place, builtin, choose]);
}

/** Fills all registered places. */
export async function showTrays() {
  const own = await uploads();
  for (const [place, builtin, choose] of trays) {
    place.hidden = own.length === 0;
    place.replaceChildren(...[...own, builtin].map(({ id, title }) => thumb(id, title, null, choose, (broken) => broken.remove())));
  }
}


/**
 * Shows the styles in `place`; if there are several, each with `control(style, at)` and a button that removes it.
 * `changed(styles)` is called whenever they are shown; `builtin()` replaces them if none is left.
 */
export function styleList({ place, styles, builtin, control, changed }) {
  const list = { styles, show, set, add };

  /** Adds a style at the end, unless the list has its image; replaces the built-in style. */
  function add(style) {
    if (list.styles.some(({ image }) => image === style.image)) {
      say('This style is already in the list.');
      return;
    }
    const own = list.styles.filter(({ image }) => image !== BRUSHWORK.id);
    if (own.length >= STYLES) say(`At most ${STYLES} styles: remove one first.`);
    else set([...own, style]);
  }

  function set(next) {
    list.styles = next;
    show();
  }

  function show() {
    const several = list.styles.length > 1;
    changed(list.styles);
    place.classList.toggle('several', several);
    place.replaceChildren(...list.styles.map((style, at) => el('figure', {}, el('img', { src: `${path`/api/images/${style.image}`}?side=256`, alt: `Style ${at + 1}`, onerror: () => gone(style.image) }),
      several ? control(style, at) : null,
      several ? el('button', { type: 'button', class: 'quiet', 'aria-label': `Remove style ${at + 1}`, onclick: () => remove(at) }, 'Remove') : null)));
  }

  function remove(at) {
    const before = list.styles;
    set(before.filter((_, index) => index !== at));
    say('Style removed.', () => set(before));
  }

  /** Removes an upload that the studio no longer keeps. */
  function gone(image) {
    if (image === BRUSHWORK.id || !list.styles.some((style) => style.image === image)) return;
    const left = list.styles.filter((style) => style.image !== image);
    set(left.length === 0 ? builtin() : left);
  }

  return list;
}
