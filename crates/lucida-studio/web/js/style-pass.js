// Style transfer in one forward pass: a network, sliders that update the result at once, and the camera.

import { $, ask, attempt, el, look, notFound, number, path, percent, request, say, showValue, stored, sure, upload, view } from './core.js';
import { openCamera, rgbOf } from './camera.js';
import { comparison } from './compare.js';
import { ended, listen } from './events.js';

/** The default network, which is built in. */
const FIRST = 'brushwork';
/** Longer sides of camera frames, in pixels: the largest one with several frames per second is used. */
const SIDES = [144, 192, 256, 336, 448];
/** Number of frames after which the size may change, and the frame rates below and above which it does. */
const TRIAL = 8;
const [FEW, MANY] = [5, 14];

/** Sets up the form; `content` is the content image. */
export function onePass(content) {
  const chosen = stored('lucida-style-network');
  /** The weights of the styles, by network. */
  const mixes = new Map();
  let networks = [];
  let current = null;
  let active = false;
  let [busy, again] = [false, false];
  let address = null;
  let camera = null;

  // The networks.

  async function refill() {
    networks = (await attempt(() => ask('/api/style-networks'))) ?? networks;
    const groups = new Map();
    for (const { id, name, group } of networks) {
      if (!groups.has(group)) groups.set(group, el('optgroup', { label: group }));
      groups.get(group).append(el('option', { value: id }, name));
    }
    $('#network').replaceChildren(...groups.values());
    if (current) $('#network').value = current.id;
  }
  const find = (id) => networks.find((network) => network.id === id);

  /** Switches to a network, or to the built-in one if it does not exist. */
  function choose(id, how = {}) {
    current = find(id) ?? find(FIRST);
    if (!current) return;
    $('#network').value = current.id;
    chosen.set(current.id);
    $('#network-remove').hidden = current.group !== 'Opened';
    if (active) look({ network: current.id }, how);
    showMix();
    refresh();
  }
  $('#network').addEventListener('change', () => choose($('#network').value));

  async function open(file) {
    const opened = file && await attempt(() => upload(file, 'network', '/api/style-networks'));
    if (!opened) return;
    await refill();
    choose(opened.id);
    say(`Opened ${opened.name}.`);
  }
  const input = $('#network-file');
  input.addEventListener('change', () => { open(input.files[0]); input.value = ''; });
  $('#network-part').addEventListener('dragover', (event) => event.preventDefault());
  $('#network-part').addEventListener('drop', (event) => { event.preventDefault(); open(event.dataTransfer.files[0]); });
  $('#network-remove').addEventListener('click', async () => {
    const { id, name } = current;
    if (!(await sure(`Remove the network ${name} from the studio? Its file on your disk stays.`, 'Remove'))) return;
    await attempt(() => ask(path`/api/style-networks/${id}`, { method: 'DELETE' }));
    await refill();
    choose(FIRST);
  });

  // The sliders.

  function showMix() {
    const { id, styles } = current;
    if (!mixes.has(id)) mixes.set(id, styles.map((_, at) => (at === 0 ? 1 : 0)));
    const mix = mixes.get(id);
    $('#mix').hidden = styles.length < 2;
    $('#mix').replaceChildren(...(styles.length < 2 ? [] : styles.map((name, at) => {
      const slider = el('input', { type: 'range', id: `mix-${at}`, min: 0, max: 1, step: 0.05, value: mix[at], 'aria-valuetext': percent(mix[at], 0) });
      slider.addEventListener('input', () => {
        mix[at] = Number(slider.value);
        showValue(slider, percent(mix[at], 0));
        refresh();
      });
      return el('label', { class: 'slide', for: slider.id }, el('span', {}, name), el('output', {}, percent(mix[at], 0)), slider);
    })));
  }
  const words = { strength: () => percent(Number($('#strength').value), 0), 'pass-size': () => `${$('#pass-size').value} pixels` };
  for (const [name, text] of Object.entries(words)) {
    const show = () => showValue($(`#${name}`), text());
    $(`#${name}`).addEventListener('input', () => { show(); refresh(); });
    show();
  }
  $('#keep-colors').addEventListener('change', () => refresh());
  /** Whether any style has a weight; if not, shows a note instead of a result. */
  function isMixed() {
    const is = mixes.get(current.id).some((weight) => weight > 0);
    if (!is) {
      $('#pass-note').textContent = 'Raise the weight of a style.';
      showWhat({});
    }
    return is;
  }
  const settings = () => new URLSearchParams({ mix: mixes.get(current.id).join(), strength: $('#strength').value, keep_colors: $('#keep-colors').checked });
  /** Time of the forward pass in milliseconds, as reported by the server. */
  const timeOf = (response) => Number(response.headers.get('server-timing')?.match(/dur=([\d.]+)/)?.[1]);

  // The image. While a request is pending, only the newest one waits.

  async function refresh() {
    if (!active || current === null || camera !== null) return;
    if (!isMixed()) return;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    $('#pass-main').setAttribute('aria-busy', 'true');
    await attempt(stylize);
    $('#pass-main').setAttribute('aria-busy', 'false');
    busy = false;
    if (again) {
      again = false;
      refresh();
    }
  }

  async function stylize() {
    const { id } = content;
    const query = settings();
    query.set('image', id);
    query.set('size', $('#pass-size').value);
    const response = await request(`${path`/api/style-networks/${current.id}/pass`}?${query}`);
    const blob = await response.blob();
    if (camera !== null) return;
    const [after, old] = [$('#pass-after'), address];
    address = URL.createObjectURL(blob);
    after.src = address;
    await after.decode();
    URL.revokeObjectURL(old);
    const before = `${path`/api/images/${id}`}?side=1024`;
    if ($('#pass-before').getAttribute('src') !== before) $('#pass-before').src = before;
    $('#pass-note').textContent = `${after.naturalWidth} × ${after.naturalHeight} pixels in ${number(timeOf(response), 2)} ms`;
    [$('#pass-download').href, $('#pass-download').download] = [address, `${current.name.replace(/\.[^.]*$/, '')}.png`];
    showWhat({ image: true });
  }

  function showWhat({ image = false, live = false }) {
    for (const part of ['#pass-compare', '#pass-compare-label']) $(part).hidden = !image;
    $('#live').hidden = !live;
    // The size of camera frames depends on the speed.
    $('#pass-size-part').hidden = live;
    $('#pass-download').hidden = !image && !live;
  }
  comparison($('#pass-compare'), $('#pass-before'), $('#pass-divide'), $('#pass-part'));
  content.onChange(() => { stopCamera(); refresh(); });

  // The camera: one frame is pending at a time.

  const small = document.createElement('canvas');
  const shrink = small.getContext('2d', { willReadFrequently: true });
  const screen = $('#live').getContext('2d');

  function stopCamera() {
    if (camera === null) return;
    camera.stream.getTracks().forEach((track) => track.stop());
    camera = null;
    $('#camera').hidden = true;
    $('#camera').srcObject = null;
    $('#content-image').hidden = false;
    $('#camera-toggle').textContent = 'Start camera';
    showWhat({ image: address !== null });
  }

  async function startCamera() {
    const stream = await attempt(openCamera);
    if (!stream) return;
    if (!active) {
      stream.getTracks().forEach((track) => track.stop());
      return;
    }
    stopCamera();
    camera = { stream, size: 2, frames: [], isShrunk: false };
    const video = $('#camera');
    video.srcObject = stream;
    video.hidden = false;
    $('#content-image').hidden = true;
    $('#camera-toggle').textContent = 'Stop camera';
    stream.getVideoTracks()[0].addEventListener('ended', () => {
      if (camera?.stream !== stream) return;
      say('The camera was disconnected.');
      stopCamera();
      refresh();
    });
    await attempt(() => video.play());
    while (camera?.stream === stream) {
      const shown = await attempt(frame);
      if (shown === undefined && camera?.stream === stream) {
        stopCamera();
        return;
      }
      // Gives the browser time to draw, and pauses in a hidden page.
      await new Promise((next) => requestAnimationFrame(next));
    }
  }
  $('#camera-toggle').addEventListener('click', () => {
    if (camera === null) {
      startCamera();
      return;
    }
    stopCamera();
    refresh();
  });

  /** Sends a camera frame, and shows the result; returns whether it did. */
  async function frame() {
    const [mine, video] = [camera, $('#camera')];
    if (video.videoWidth === 0 || !isMixed()) return false;
    const scale = Math.min(1, SIDES[mine.size] / Math.max(video.videoWidth, video.videoHeight));
    const [width, height] = [video.videoWidth, video.videoHeight].map((side) => Math.max(16, 4 * Math.round((side * scale) / 4)));
    [small.width, small.height] = [width, height];
    shrink.drawImage(video, 0, 0, width, height);
    const query = settings();
    query.set('width', width);
    query.set('height', height);
    const response = await request(`${path`/api/style-networks/${current.id}/pass`}?${query}`, { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: rgbOf(shrink, width, height) });
    const pixels = new Uint8Array(await response.arrayBuffer());
    if (camera !== mine) return false;
    const image = new ImageData(width, height);
    for (let from = 0, to = 0; from < pixels.length; from += 3, to += 4) image.data.set([pixels[from], pixels[from + 1], pixels[from + 2], 255], to);
    const canvas = $('#live');
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    screen.putImageData(image, 0, 0);
    showWhat({ live: true });
    count(mine, width, height);
    return true;
  }

  /** Shows the frame rate, and adjusts the size to it. */
  function count(mine, width, height) {
    mine.frames.push(performance.now());
    const { frames } = mine;
    if (frames.length < 3) return;
    const rate = (1000 * (frames.length - 1)) / (frames[frames.length - 1] - frames[0]);
    $('#pass-note').textContent = `${rate.toFixed(rate < 10 ? 1 : 0)} frames per second, ${width} × ${height} pixels`;
    if (frames.length < TRIAL) return;
    // After the size has shrunk once, it does not grow again: it would oscillate.
    const step = rate < FEW && mine.size > 0 ? -1 : rate > MANY && !mine.isShrunk && mine.size < SIDES.length - 1 ? 1 : 0;
    if (step === 0) {
      frames.shift();
      return;
    }
    mine.isShrunk ||= step < 0;
    mine.size += step;
    mine.frames = [];
  }

  /** Saves the current camera frame. */
  $('#pass-download').addEventListener('click', async (event) => {
    if (camera === null) return;
    event.preventDefault();
    const blob = await new Promise((made) => { $('#live').toBlob(made, 'image/png'); });
    const link = el('a', { href: URL.createObjectURL(blob), download: 'camera.png' });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });

  // Events of the server: a training saves a network, or is removed.

  let named = view.network;
  listen(async (event) => {
    if (event.type === 'again') {
      await refill();
      if (named !== undefined && !find(named)) notFound('network', `There is no style network “${named}”; ${find(chosen.get())?.name ?? 'the built-in one'} is used.`);
      choose(current?.id ?? (find(named) ? named : chosen.get()), { quietly: true });
      named = undefined;
    } else if (event.type === 'job' && event.job.kind === 'style-train' && (ended(event.job) || !find(`job-${event.job.id}`))) {
      if (event.job.files.includes('style.lucida')) await refill();
    } else if (event.type === 'removed' && find(`job-${event.id}`)) {
      await refill();
      if (current.id === `job-${event.id}`) choose(FIRST, { quietly: true });
    }
  });

  return {
    /** Switches to a network that may be new. */
    choose: async (id) => {
      await refill();
      choose(id, { quietly: true });
    },
    setActive(on) {
      active = on;
      if (on) refresh();
      else stopCamera();
    },
    back() { if (active && view.network !== undefined && find(view.network)) choose(view.network, { quietly: true }); },
  };
}
