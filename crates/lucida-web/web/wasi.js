// What the program imports: the system interface WASI (preview 1), over files in memory.
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md

import { File, Folder } from './files.js';

const OK = 0;
const [BADF, EXIST, INVAL, ISDIR, NOENT, NOSYS, NOTDIR, NOTEMPTY, NOTSUP] = [8, 20, 28, 31, 44, 52, 54, 55, 58];
const [TYPE_DEVICE, TYPE_FOLDER, TYPE_FILE] = [2, 3, 4];
/** Flags of path_open, and of a descriptor. */
const [CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE] = [1, 2, 4, 8];
const APPEND = 1;
/** Descriptor of the root folder, which the program finds open. */
const ROOT = 3;
const ALL_RIGHTS = (1n << 29n) - 1n;

const NOTHING = new Uint8Array();

/** A device: `written(bytes)` is called with what the program writes, and `content()` returns what it reads. */
export class Device {
  constructor(written = () => {}, content = () => NOTHING) {
    [this.written, this.content] = [written, content];
  }

  read(at, length) { return this.content().subarray(at, at + length); }

  // A copy: what devices do with bytes is not possible with those of shared memory.
  write(at, bytes) { this.written(bytes.slice()); }
}

/** A program that has thrown an error or ended; it cannot be called again. */
export class Ended extends Error {}

export class Wasi {
  #memory = null;

  #open = new Map();

  #input = NOTHING;

  #output = [];

  /** A system with these files, and with `environment`, an object of texts by name. */
  constructor(files, environment = {}) {
    this.files = files;
    this.environment = Object.entries(environment).map(([name, value]) => new TextEncoder().encode(`${name}=${value}\0`));
    const standard = [new Device(undefined, () => this.#input), new Device((bytes) => this.#output.push(bytes)), new Device(logged())];
    for (const [descriptor, node] of [...standard, files.root].entries()) this.#open.set(descriptor, { node, at: 0, path: '' });
  }

  /** Instantiates a compiled program, with the memory and the threads that it has if it imports them. */
  async #instantiate(module, { memory, spawn } = {}) {
    const imports = { wasi_snapshot_preview1: this.#imports(), env: { memory }, wasi: { 'thread-spawn': spawn } };
    const { exports } = await WebAssembly.instantiate(module, imports);
    this.#memory = exports.memory;
    return exports;
  }

  /** Starts a compiled program; returns its function `answer`, from the bytes of a message to those of the answer. */
  async start(module, threads) {
    const exports = await this.#instantiate(module, threads);
    exports._initialize?.();
    return (message) => {
      [this.#input, this.#output] = [message, []];
      this.#open.get(0).at = 0;
      let isWhole;
      try {
        isWhole = exports.answer();
      } catch (error) {
        throw new Ended(error.message);
      }
      if (!isWhole) throw new Ended('the answer was not written');
      return joined(this.#output);
    };
  }

  /** Prepares a thread of a program, which starts no others; returns the function that is the thread. */
  async thread({ module, memory }) {
    const exports = await this.#instantiate(module, { memory, spawn: () => -1 });
    return exports.wasi_thread_start;
  }

  get #view() { return new DataView(this.#memory.buffer); }

  #bytes(at, length) { return new Uint8Array(this.#memory.buffer, at, length); }

  #text(at, length) { return new TextDecoder().decode(this.#bytes(at, length).slice()); }

  /** The buffers of a scatter or gather list. */
  * #buffers(list, count) {
    for (let index = 0; index < count; index += 1) {
      const [at, length] = [this.#view.getUint32(list + 8 * index, true), this.#view.getUint32(list + 8 * index + 4, true)];
      yield this.#bytes(at, length);
    }
  }

  /** The absolute path of a path that is relative to a descriptor. */
  #path(descriptor, at, length) {
    const { path } = this.#open.get(descriptor) ?? { path: '' };
    const names = [];
    for (const name of `${path}/${this.#text(at, length)}`.split('/')) {
      if (name === '..') names.pop();
      else if (name !== '' && name !== '.') names.push(name);
    }
    return `/${names.join('/')}`;
  }

  #read(open, position, list, count, out) {
    let total = 0;
    for (const buffer of this.#buffers(list, count)) {
      const bytes = open.node.read(position + total, buffer.length);
      buffer.set(bytes);
      total += bytes.length;
      if (bytes.length < buffer.length) break;
    }
    this.#view.setUint32(out, total, true);
    return total;
  }

  #write(open, position, list, count, out) {
    let total = 0;
    for (const buffer of this.#buffers(list, count)) {
      open.node.write(position + total, buffer);
      total += buffer.length;
    }
    this.#view.setUint32(out, total, true);
    return total;
  }

  /** Writes a `filestat`. */
  #describe(node, out) {
    const view = this.#view;
    this.#bytes(out, 64).fill(0);
    view.setUint8(out + 16, node instanceof Folder ? TYPE_FOLDER : node instanceof File ? TYPE_FILE : TYPE_DEVICE);
    view.setBigUint64(out + 24, 1n, true);
    view.setBigUint64(out + 32, BigInt(node.size ?? 0), true);
    for (const at of [40, 48, 56]) view.setBigUint64(out + at, nanoseconds(node.modified ?? 0), true);
    return OK;
  }

  /** Calls `work(open)` with an open file. */
  #withFile(descriptor, work) {
    const open = this.#open.get(descriptor);
    if (open === undefined) return BADF;
    if (open.node instanceof Folder) return ISDIR;
    return work(open) ?? OK;
  }

  #openPath(descriptor, at, length, flags, descriptorFlags, out) {
    const path = this.#path(descriptor, at, length);
    let node = this.files.find(path);
    if (node === null) {
      if (!(flags & CREATE)) return NOENT;
      node = new File();
      if (!this.files.put(path, node)) return NOENT;
    } else if (flags & EXCLUSIVE) return EXIST;
    if (flags & DIRECTORY && !(node instanceof Folder)) return NOTDIR;
    if (flags & TRUNCATE && node instanceof File) {
      node.resize(0);
      this.files.touch(path);
    }
    let next = ROOT + 1;
    while (this.#open.has(next)) next += 1;
    this.#open.set(next, { node, path, at: 0, appends: (descriptorFlags & APPEND) !== 0 });
    this.#view.setUint32(out, next, true);
    return OK;
  }

  /** Writes the entries of a folder from number `cookie` on; the last one may be cut off, which tells that there are more. */
  #readFolder({ node }, buffer, length, cookie, out) {
    let used = 0;
    for (const [index, [name, child]] of [...node.children].entries()) {
      if (index < cookie || used >= length) continue;
      const text = new TextEncoder().encode(name);
      const entry = new Uint8Array(24 + text.length);
      const view = new DataView(entry.buffer);
      view.setBigUint64(0, BigInt(index + 1), true);
      view.setUint32(16, text.length, true);
      view.setUint8(20, child instanceof Folder ? TYPE_FOLDER : TYPE_FILE);
      entry.set(text, 24);
      const part = entry.subarray(0, length - used);
      this.#bytes(buffer + used, part.length).set(part);
      used += part.length;
    }
    this.#view.setUint32(out, used, true);
    return OK;
  }

  #removePath(descriptor, at, length, isFolder) {
    const path = this.#path(descriptor, at, length);
    const node = this.files.find(path);
    if (node === null) return NOENT;
    if (isFolder !== node instanceof Folder) return isFolder ? NOTDIR : ISDIR;
    if (isFolder && node.children.size > 0) return NOTEMPTY;
    return this.files.remove(path) ? OK : NOENT;
  }

  #imports() {
    const view = () => this.#view;
    const none = (...outs) => { for (const out of outs) view().setUint32(out, 0, true); return OK; };
    return {
      ...this.#fileImports(),
      ...this.#pathImports(),
      args_sizes_get: none,
      args_get: () => OK,
      environ_sizes_get: (count, size) => {
        view().setUint32(count, this.environment.length, true);
        view().setUint32(size, this.environment.reduce((sum, { length }) => sum + length, 0), true);
        return OK;
      },
      environ_get: (list, texts) => {
        let at = texts;
        for (const [index, text] of this.environment.entries()) {
          view().setUint32(list + 4 * index, at, true);
          this.#bytes(at, text.length).set(text);
          at += text.length;
        }
        return OK;
      },
      clock_res_get: (clock, out) => { view().setBigUint64(out, 1000n, true); return OK; },
      clock_time_get: (clock, precision, out) => {
        view().setBigUint64(out, nanoseconds(clock === 0 ? Date.now() : performance.timeOrigin + performance.now()), true);
        return OK;
      },
      // At most 65,536 bytes per call, and never in shared memory.
      random_get: (at, length) => {
        for (let start = 0; start < length; start += 65536) this.#bytes(at + start, Math.min(65536, length - start)).set(crypto.getRandomValues(new Uint8Array(Math.min(65536, length - start))));
        return OK;
      },
      sched_yield: () => OK,
      poll_oneoff: () => NOSYS,
      proc_exit: (code) => { throw new Ended(`the program ended with ${code}`); },
    };
  }

  #fileImports() {
    const view = () => this.#view;
    return {
      fd_close: (descriptor) => (this.#open.delete(descriptor) ? OK : BADF),
      fd_advise: () => OK,
      fd_datasync: () => OK,
      fd_sync: () => OK,
      fd_fdstat_set_flags: () => OK,
      fd_fdstat_get: (descriptor, out) => {
        const open = this.#open.get(descriptor);
        if (open === undefined) return BADF;
        this.#bytes(out, 24).fill(0);
        view().setUint8(out, open.node instanceof Folder ? TYPE_FOLDER : open.node instanceof File ? TYPE_FILE : TYPE_DEVICE);
        view().setUint16(out + 2, open.appends ? APPEND : 0, true);
        for (const at of [8, 16]) view().setBigUint64(out + at, ALL_RIGHTS, true);
        return OK;
      },
      fd_filestat_get: (descriptor, out) => {
        const open = this.#open.get(descriptor);
        return open === undefined ? BADF : this.#describe(open.node, out);
      },
      fd_filestat_set_size: (descriptor, size) => this.#withFile(descriptor, (open) => {
        open.node.resize(Number(size));
        this.files.touch(open.path);
      }),
      fd_filestat_set_times: () => OK,
      fd_prestat_get: (descriptor, out) => {
        if (descriptor !== ROOT) return BADF;
        view().setUint8(out, 0);
        view().setUint32(out + 4, 1, true);
        return OK;
      },
      fd_prestat_dir_name: (descriptor, at) => { this.#bytes(at, 1)[0] = 0x2f; return OK; },
      fd_read: (descriptor, list, count, out) => this.#withFile(descriptor, (open) => { open.at += this.#read(open, open.at, list, count, out); }),
      fd_pread: (descriptor, list, count, at, out) => this.#withFile(descriptor, (open) => { this.#read(open, Number(at), list, count, out); }),
      fd_write: (descriptor, list, count, out) => this.#withFile(descriptor, (open) => {
        if (open.appends) open.at = open.node.size;
        open.at += this.#write(open, open.at, list, count, out);
        this.files.touch(open.path);
      }),
      fd_pwrite: (descriptor, list, count, at, out) => this.#withFile(descriptor, (open) => {
        this.#write(open, Number(at), list, count, out);
        this.files.touch(open.path);
      }),
      fd_seek: (descriptor, offset, whence, out) => this.#withFile(descriptor, (open) => {
        const start = [0, open.at, open.node.size ?? 0][whence];
        const next = start + Number(offset);
        if (!(next >= 0)) return INVAL;
        open.at = next;
        view().setBigUint64(out, BigInt(next), true);
        return OK;
      }),
      fd_tell: (descriptor, out) => this.#withFile(descriptor, (open) => { view().setBigUint64(out, BigInt(open.at), true); }),
      fd_readdir: (descriptor, buffer, length, cookie, out) => {
        const open = this.#open.get(descriptor);
        if (open === undefined) return BADF;
        return open.node instanceof Folder ? this.#readFolder(open, buffer, length, Number(cookie), out) : NOTDIR;
      },
      fd_renumber: () => NOTSUP,
    };
  }

  #pathImports() {
    return {
      path_open: (descriptor, lookup, at, length, flags, rights, inheriting, descriptorFlags, out) =>
        this.#openPath(descriptor, at, length, flags, descriptorFlags, out),
      path_filestat_get: (descriptor, lookup, at, length, out) => {
        const node = this.files.find(this.#path(descriptor, at, length));
        return node === null ? NOENT : this.#describe(node, out);
      },
      path_filestat_set_times: () => OK,
      path_create_directory: (descriptor, at, length) => {
        const path = this.#path(descriptor, at, length);
        if (this.files.find(path) !== null) return EXIST;
        return this.files.put(path, new Folder()) ? OK : NOENT;
      },
      path_remove_directory: (descriptor, at, length) => this.#removePath(descriptor, at, length, true),
      path_unlink_file: (descriptor, at, length) => this.#removePath(descriptor, at, length, false),
      path_rename: (from, fromAt, fromLength, to, toAt, toLength) =>
        (this.files.rename(this.#path(from, fromAt, fromLength), this.#path(to, toAt, toLength)) ? OK : NOENT),
      path_readlink: () => INVAL,
      path_link: () => NOTSUP,
      path_symlink: () => NOTSUP,
    };
  }
}

/** Milliseconds as nanoseconds. */
const nanoseconds = (milliseconds) => BigInt(Math.round(milliseconds * 1000)) * 1000n;

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A function that writes lines to the console: the messages of a program that ends unexpectedly. */
function logged() {
  let line = '';
  return (bytes) => {
    const lines = (line + new TextDecoder().decode(bytes)).split('\n');
    line = lines.pop();
    for (const text of lines) console.error(text);
  };
}
