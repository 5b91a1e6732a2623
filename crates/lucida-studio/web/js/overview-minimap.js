// A small map of the whole overview, shown while the network is larger than the screen.

/** Draws the cards of a board and the part on the screen; a click or drag moves there. */
export function minimap(canvas, board, moved) {
  const scale = () => Math.min(canvas.clientWidth / board.scene.box.width, canvas.clientHeight / board.scene.box.height);

  function go(event) {
    const place = canvas.getBoundingClientRect();
    const { box } = board.scene;
    board.view.x = box.x + (event.clientX - place.left) / scale() - board.size.width / board.view.zoom / 2;
    board.view.y = box.y + (event.clientY - place.top) / scale() - board.size.height / board.view.zoom / 2;
    moved();
  }
  canvas.addEventListener('pointerdown', (event) => {
    event.stopPropagation();
    canvas.setPointerCapture(event.pointerId);
    go(event);
  });
  canvas.addEventListener('pointermove', (event) => { if (event.buttons > 0) go(event); });
  for (const kind of ['pointerup', 'wheel']) canvas.addEventListener(kind, (event) => event.stopPropagation());

  return {
    show() {
      const { box, cards } = board.scene;
      const { view, size, colors } = board;
      const isWhole = box.width * view.zoom <= size.width + 1 && box.height * view.zoom <= size.height + 1;
      canvas.hidden = isWhole;
      if (isWhole) return;
      // As wide as the network is long, within the size that the style sheet allows.
      const [width, height] = [Math.min(200, size.width / 3), 56];
      const fit = Math.min(width / box.width, height / box.height);
      const ratio = devicePixelRatio;
      [canvas.width, canvas.height] = [Math.ceil(box.width * fit * ratio), Math.ceil(box.height * fit * ratio)];
      [canvas.style.width, canvas.style.height] = [`${box.width * fit}px`, `${box.height * fit}px`];
      const context = canvas.getContext('2d');
      context.scale(fit * ratio, fit * ratio);
      context.translate(-box.x, -box.y);
      context.fillStyle = colors.soft;
      for (const one of cards) context.fillRect(one.x, one.y, one.width, one.height);
      context.strokeStyle = colors.accent;
      context.lineWidth = 3 / fit;
      const [left, top] = [Math.max(view.x, box.x), Math.max(view.y, box.y)];
      const [right, bottom] = [Math.min(view.x + size.width / view.zoom, box.x + box.width), Math.min(view.y + size.height / view.zoom, box.y + box.height)];
      context.strokeRect(left, top, right - left, bottom - top);
    },
  };
}
