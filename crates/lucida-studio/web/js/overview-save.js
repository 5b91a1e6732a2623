// Saves what the overview shows, as PNG or SVG.

import { el } from './core.js';
import { draw } from './overview-canvas.js';

function download(blob, name) {
  const link = el('a', { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function savePng(canvas, { network }) {
  canvas.toBlob((blob) => download(blob, `${network}-overview.png`));
}

export function saveSvg(board, { network }) {
  const recorder = svgRecorder(board.size);
  draw(recorder, { ...board, time: null });
  download(new Blob([recorder.text()], { type: 'image/svg+xml' }), `${network}-overview.svg`);
}

const escaped = (text) => String(text).replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]);
const short = (value) => Number(value.toFixed(2));

/** The operations of a canvas that `draw` uses, recorded as SVG. */
function svgRecorder({ width, height }) {
  const parts = [];
  const measure = document.createElement('canvas').getContext('2d');
  const saved = [];
  let steps = [];
  let matrix = '';
  const recorder = {
    fillStyle: '#000', strokeStyle: '#000', lineWidth: 1, globalAlpha: 1, font: '10px sans-serif', textAlign: 'left', dash: [],
    save() { saved.push(matrix); },
    restore() { matrix = saved.pop(); },
    scale(x, y) { matrix += `scale(${x} ${y}) `; },
    translate(x, y) { matrix += `translate(${x} ${y}) `; },
    rotate(angle) { matrix += `rotate(${(angle * 180) / Math.PI}) `; },
    setLineDash(dash) { this.dash = dash; },
    fillRect(x, y, wide, high) { add('rect', { x, y, width: wide, height: high, fill: this.fillStyle }); },
    strokeRect(x, y, wide, high) { add('rect', { x, y, width: wide, height: high, fill: 'none', ...stroke() }); },
    beginPath() { steps = []; },
    moveTo(x, y) { steps.push(`M${short(x)} ${short(y)}`); },
    lineTo(x, y) { steps.push(`L${short(x)} ${short(y)}`); },
    bezierCurveTo(...points) { steps.push(`C${points.map(short).join(' ')}`); },
    stroke() { add('path', { d: steps.join(''), fill: 'none', ...stroke() }); },
    measureText(text) { measure.font = this.font; return measure.measureText(text); },
    fillText(text, x, y) {
      const [, weight, size, family] = this.font.match(/^(600 )?([\d.]+)px (.*)$/);
      add('text', { x, y, fill: this.fillStyle, 'font-size': size, 'font-family': family, 'font-weight': weight ? 600 : 400, 'text-anchor': this.textAlign === 'right' ? 'end' : 'start' }, text);
    },
    drawImage(image, x, y, wide, high) { add('image', { x, y, width: wide, height: high, href: image.toDataURL(), preserveAspectRatio: 'none', 'image-rendering': 'pixelated' }); },
    text: () => `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${parts.join('\n')}</svg>`,
  };
  const stroke = () => ({ stroke: recorder.strokeStyle, 'stroke-width': short(recorder.lineWidth), 'stroke-dasharray': recorder.dash.length ? recorder.dash.map(short).join(' ') : null });
  function add(tag, attributes, text = '') {
    const all = { ...attributes, opacity: recorder.globalAlpha < 1 ? short(recorder.globalAlpha) : null, transform: matrix.trim() || null };
    const written = Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `${name}="${escaped(typeof value === 'number' ? short(value) : value)}"`);
    parts.push(text === '' ? `<${tag} ${written.join(' ')}/>` : `<${tag} ${written.join(' ')}>${escaped(text)}</${tag}>`);
  }
  return recorder;
}
