// A plot of images as points of a plane, which move when the points do.

import { el, path } from './core.js';

const SVG = 'http://www.w3.org/2000/svg';
/** Duration of a move in milliseconds. */
const MOVE = 700;
/** Half the side of the plot; the points are at distances up to 1. */
const SIDE = 1.06;
/** Maximum distance of the pointer from a point that it reads. */
const NEAR = 0.12;
/** Number of colors; class 10 has the color of class 0. */
const COLORS = 10;
/** Maximum number of classes in the legend. */
const LEGEND = 24;
const still = matchMedia('(prefers-reduced-motion: reduce)');

/** Puts the plot into `place`; `chosen(image)` is called when the user chooses an image. */
export function embeddingPlot(place, chosen) {
  const drawing = document.createElementNS(SVG, 'svg');
  for (const [name, value] of Object.entries({ role: 'img', tabindex: 0, class: 'embedding', viewBox: [-SIDE, -SIDE, 2 * SIDE, 2 * SIDE].join(' '), 'data-key': 'embedding' })) drawing.setAttribute(name, value);
  const image = el('img', { class: 'pixels', alt: '' });
  const caption = el('p', { class: 'fine', 'aria-live': 'polite' });
  const legend = el('div', { class: 'class-legend', role: 'group', 'aria-label': 'Highlight a class' });
  const hint = 'Point at a dot to see its image, or use the arrow keys; a click or Enter shows its feature maps.';
  place.replaceChildren(drawing, el('div', { class: 'embedding-image' }, el('div', { class: 'picker-now' }, image), caption), legend);

  let [images, classes, circles] = [[], [], []];
  /** The places of the points now, and the pending frame of a move. */
  let [places, frame] = [[], null];
  let [read, highlighted] = [null, null];

  const colorOf = (index) => `class-${(index ?? 0) % COLORS}`;
  const put = () => circles.forEach((circle, at) => { circle.setAttribute('cx', places[at][0].toFixed(4)); circle.setAttribute('cy', (-places[at][1]).toFixed(4)); });

  function move(points) {
    cancelAnimationFrame(frame);
    const from = places;
    if (from.length !== points.length || still.matches) {
      places = points;
      put();
      return;
    }
    const start = performance.now();
    const step = (now) => {
      const time = Math.min(1, Math.max(0, (now - start) / MOVE));
      const part = time * time * (3 - 2 * time);
      places = points.map(([x, y], at) => [from[at][0] + part * (x - from[at][0]), from[at][1] + part * (y - from[at][1])]);
      put();
      if (time < 1) frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
  }

  /** Shows an image large; none for `null`. */
  function show(at) {
    if (read !== null) circles[read]?.classList.remove('read');
    read = at;
    if (at === null) {
      image.removeAttribute('src');
      caption.textContent = hint;
      return;
    }
    circles[at].classList.add('read');
    // In front of all others.
    drawing.append(circles[at]);
    image.src = `${path`/api/images/${images[at].id}`}?side=256`;
    caption.textContent = images[at].title;
  }

  function highlight(index) {
    highlighted = highlighted === index ? null : index;
    circles.forEach((circle, at) => circle.classList.toggle('dim', highlighted !== null && images[at].class !== highlighted));
    [...legend.querySelectorAll('button')].forEach((button) => button.setAttribute('aria-pressed', String(Number(button.dataset.class) === highlighted)));
  }

  function nearest(event) {
    const box = drawing.getBoundingClientRect();
    const scale = (2 * SIDE) / box.width;
    const [x, y] = [(event.clientX - box.left) * scale - SIDE, SIDE - (event.clientY - box.top) * scale];
    const best = { at: null, distance: NEAR };
    places.forEach((point, at) => {
      const distance = Math.hypot(point[0] - x, point[1] - y);
      if (distance < best.distance && (highlighted === null || images[at].class === highlighted)) Object.assign(best, { at, distance });
    });
    return best.at;
  }

  /** The images in the order in which the arrow keys read them: class by class. */
  const order = () => [...images.keys()].filter((at) => highlighted === null || images[at].class === highlighted).sort((a, b) => (images[a].class ?? 0) - (images[b].class ?? 0) || a - b);

  drawing.addEventListener('pointermove', (event) => {
    const at = nearest(event);
    if (at !== null && at !== read) show(at);
  });
  drawing.addEventListener('click', (event) => {
    const at = nearest(event);
    if (at === null) return;
    show(at);
    chosen(images[at]);
  });
  drawing.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && read !== null) {
      chosen(images[read]);
      return;
    }
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
    const ordered = order();
    if (!step || ordered.length === 0) return;
    event.preventDefault();
    const at = ordered.indexOf(read);
    let next = at < 0 ? (step > 0 ? 0 : ordered.length - 1) : at + step;
    // Up and down lead to the first image of another class.
    if (at >= 0 && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) {
      const other = (place) => images[ordered[place]].class !== images[read].class;
      while (ordered[next] !== undefined && !other(next)) next += step;
      while (step < 0 && next > 0 && images[ordered[next - 1]].class === images[ordered[next]].class) next -= 1;
    }
    if (ordered[next] !== undefined) show(ordered[next]);
  });

  /** Draws the points and the legend of other images. */
  function renew(embedding) {
    [images, classes, places, highlighted] = [embedding.images, embedding.classes, [], null];
    circles = images.map((one) => {
      const circle = document.createElementNS(SVG, 'circle');
      circle.setAttribute('r', '0.02');
      circle.setAttribute('class', `dot ${colorOf(one.class)}`);
      return circle;
    });
    drawing.replaceChildren(...circles);
    const present = classes.map((name, index) => ({ name, index })).filter(({ index }) => images.some((one) => one.class === index));
    legend.replaceChildren(...(present.length > LEGEND ? [] : present.map(({ name, index }) => el('button', { type: 'button', 'aria-pressed': 'false', 'data-class': index, onclick: () => highlight(index) }, el('span', { class: `dot ${colorOf(index)}`, 'aria-hidden': 'true' }), name))));
    show(null);
  }

  return {
    /** Removes the points, until others are shown. */
    clear() {
      cancelAnimationFrame(frame);
      renew({ images: [], classes: [] });
      drawing.setAttribute('aria-label', 'Loading');
    },
    /** Shows an embedding with its images at `points`. */
    show(embedding, points, label) {
      if (images.length !== embedding.images.length || images.some(({ id }, at) => id !== embedding.images[at].id)) renew(embedding);
      drawing.setAttribute('aria-label', `${label} Arrow keys read the images.`);
      move(points);
    },
  };
}
