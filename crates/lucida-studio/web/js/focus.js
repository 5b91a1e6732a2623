// Keeps the focus: if the focused element is replaced, hidden or disabled, its successor gets the focus.

/** A key that identifies an element among its neighbors, to find it again after a part of the page is rebuilt. */
function key(element) {
  const data = ['channel', 'image', 'run', 'job', 'layers', 'style'].map((name) => element.closest(`[data-${name}]`)?.dataset[name] ?? '');
  const value = element.type === 'radio' || element.type === 'checkbox' ? element.value : '';
  return [element.id, element.tagName, element.name ?? '', value, element.dataset.key ?? element.getAttribute('aria-label') ?? element.textContent, ...data].join('\n');
}

const usable = (element) => element.isConnected && !element.disabled && element.getClientRects().length > 0;
const focusables = 'a[href], button, input, select, textarea, canvas[tabindex], svg[tabindex], [role="group"][tabindex], summary';

let last = null;

function remember(element) {
  const around = [];
  for (let parent = element.parentElement; parent; parent = parent.parentElement) around.push(parent);
  const near = around.find((parent) => parent.querySelectorAll(focusables).length > 1) ?? document.body;
  last = { element, key: key(element), around, at: [...near.querySelectorAll(focusables)].indexOf(element) };
}

/** The replacement of the focused element, or else a neighbor of it. */
function successor({ element, key: wanted, around, at }) {
  const same = element.id ? document.getElementById(element.id) : null;
  if (same && usable(same)) return same;
  for (const parent of around.filter((one) => one.isConnected)) {
    const all = [...parent.querySelectorAll(focusables)].filter(usable);
    const again = all.find((one) => key(one) === wanted);
    if (again) return again;
    if (parent === document.body) break;
    if (all.length > 0 && parent.id !== 'main') return all[Math.min(Math.max(at, 0), all.length - 1)];
  }
  return document.getElementById('main');
}

function restore() {
  const { activeElement } = document;
  // A disabled or hidden element keeps the focus until the browser renders the page again.
  const held = activeElement !== null && activeElement !== document.body && usable(activeElement);
  if (last === null || held || usable(last.element)) return;
  const next = successor(last);
  // `main` is the fallback while the parts of the page are loading: it is not remembered.
  next.focus({ preventScroll: true });
  if (next.id !== 'main') remember(next);
}

/** Starts watching the page. */
export function keepFocus() {
  document.addEventListener('focusin', ({ target }) => { if (target.id !== 'main') remember(target); });
  // A click outside of all controls removes the focus on purpose.
  document.addEventListener('pointerdown', ({ target }) => { if (!target.closest(`${focusables}, label`)) last = null; });
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    // Wait for the whole change; unlike an animation frame, a timer also fires in hidden windows.
    setTimeout(() => { waiting = false; restore(); });
  }).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ['hidden', 'disabled'] });
}
