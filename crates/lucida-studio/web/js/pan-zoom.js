// Panning and zooming: with the wheel, by dragging, and with two fingers.

const [LEAST, MOST] = [0.05, 12];

/**
 * Moves `view` (left, top, zoom) by gestures on `place`; `moved()` is called after each change, `tapped(x, y, event)` for a
 * click or tap at a point of `place`, and `hovered(x, y, event)` while a mouse moves over it, or with null when it leaves.
 */
export function panZoom(place, view, { moved, tapped, hovered }) {
  const pointers = new Map();
  let travelled = 0;
  const local = (event) => {
    const box = place.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  /** Zooms by a factor, around a point of the screen. */
  function zoomBy(factor, x = place.clientWidth / 2, y = place.clientHeight / 2) {
    const zoom = Math.max(LEAST, Math.min(MOST, view.zoom * factor));
    view.x += x / view.zoom - x / zoom;
    view.y += y / view.zoom - y / zoom;
    view.zoom = zoom;
    moved();
  }
  function panBy(x, y) {
    view.x -= x / view.zoom;
    view.y -= y / view.zoom;
    moved();
  }
  place.addEventListener('wheel', (event) => {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 24 : 1;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) panBy(-(event.deltaX || event.deltaY) * unit, 0);
    else zoomBy(Math.exp((-event.deltaY * unit) / (event.ctrlKey ? 100 : 400)), ...local(event));
  }, { passive: false });
  place.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || event.target.closest('button')) return;
    if (pointers.size === 0) travelled = 0;
    pointers.set(event.pointerId, local(event));
    place.setPointerCapture(event.pointerId);
  });
  place.addEventListener('pointermove', (event) => {
    const before = pointers.get(event.pointerId);
    const now = local(event);
    if (!before) {
      if (event.pointerType === 'mouse') hovered(...now, event);
      return;
    }
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
    pointers.set(event.pointerId, now);
    if (other) {
      const distance = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
      zoomBy(distance(now) / distance(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      panBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    } else if (travelled > 4) {
      place.classList.add('dragging');
      panBy(now[0] - before[0], now[1] - before[1]);
    }
  });
  const release = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    place.classList.remove('dragging');
    if (event.type === 'pointerup' && travelled <= 4 && pointers.size === 0) tapped(...local(event), event);
  };
  place.addEventListener('pointerup', release);
  place.addEventListener('pointercancel', release);
  place.addEventListener('pointerleave', () => hovered(null));
  return { zoomBy };
}
