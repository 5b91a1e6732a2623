// Before and after: two overlaid images with a movable dividing line.

/** Connects the elements of a comparison: the box, the upper image, the dividing line, and the slider. */
export function comparison(box, before, line, slider) {
  const divide = () => {
    const part = Number(slider.value);
    before.style.clipPath = `inset(0 ${100 - part}% 0 0)`;
    line.style.left = `${part}%`;
  };
  slider.addEventListener('input', divide);
  // A tall image is as high as the window, not as wide as the page.
  before.addEventListener('load', () => box.style.setProperty('--ratio', before.naturalWidth / before.naturalHeight));
  for (const kind of ['pointerdown', 'pointermove']) {
    box.addEventListener(kind, (event) => {
      if (kind === 'pointermove' && event.buttons === 0) return;
      const edge = box.getBoundingClientRect();
      slider.value = String(Math.round((100 * (event.clientX - edge.left)) / edge.width));
      divide();
      event.preventDefault();
    });
  }
  divide();
}
