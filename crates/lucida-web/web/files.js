// The files of the program, in memory: a tree of folders, and devices that functions stand for.

/** A file. `bytes` may be longer than the file, to leave room for what is appended. */
export class File {
  constructor(bytes = new Uint8Array(), modified = Date.now()) {
    [this.bytes, this.size, this.modified] = [bytes, bytes.length, modified];
  }

  read(at, length) {
    return this.bytes.subarray(Math.min(at, this.size), Math.min(at + length, this.size));
  }

  write(at, bytes) {
    const end = at + bytes.length;
    if (end > this.bytes.length) this.#grow(Math.max(end, 2 * this.size));
    this.bytes.set(bytes, at);
    [this.size, this.modified] = [Math.max(this.size, end), Date.now()];
  }

  resize(size) {
    if (size > this.bytes.length) this.#grow(size);
    else this.bytes.fill(0, size, Math.max(size, this.size));
    [this.size, this.modified] = [size, Date.now()];
  }

  /** A copy of the content. */
  content() { return this.bytes.slice(0, this.size); }

  #grow(length) {
    const longer = new Uint8Array(length);
    longer.set(this.bytes.subarray(0, this.size));
    this.bytes = longer;
  }
}

export class Folder {
  children = new Map();

  modified = Date.now();
}

/** All files, by absolute path. */
export class Files {
  root = new Folder();

  /** Paths that have changed since they were last taken. */
  #changed = new Set();

  /** What `fetched(path)` returns stands for a file that is not in memory: its bytes, or null. */
  constructor(fetched = () => null) { this.fetched = fetched; }

  /** The folder that a path is in, and its last name. */
  #place(path) {
    const names = path.split('/').filter((name) => name !== '' && name !== '.');
    const last = names.pop() ?? '';
    let folder = this.root;
    for (const name of names) {
      folder = folder.children.get(name);
      if (!(folder instanceof Folder)) return { folder: null, last };
    }
    return { folder, last };
  }

  find(path) {
    const { folder, last } = this.#place(path);
    if (folder === null) return null;
    if (last === '') return this.root;
    const found = folder.children.get(last);
    if (found !== undefined) return found;
    const bytes = this.fetched(path);
    if (bytes === null) return null;
    const file = new File(bytes);
    folder.children.set(last, file);
    return file;
  }

  /** Adds a file, a folder or a device; returns false if there is no folder for it. */
  put(path, node) {
    const { folder, last } = this.#place(path);
    if (folder === null || last === '') return false;
    folder.children.set(last, node);
    folder.modified = Date.now();
    this.touch(path);
    return true;
  }

  remove(path) {
    const { folder, last } = this.#place(path);
    if (!folder?.children.delete(last)) return false;
    folder.modified = Date.now();
    this.touch(path);
    return true;
  }

  rename(from, to) {
    const node = this.find(from);
    if (node === null || !this.put(to, node)) return false;
    return this.remove(from);
  }

  /** Creates a folder and those above it. */
  createFolder(path) {
    let [folder, whole] = [this.root, ''];
    for (const name of path.split('/').filter(Boolean)) {
      whole += `/${name}`;
      if (!folder.children.has(name)) this.put(whole, new Folder());
      folder = folder.children.get(name);
    }
  }

  /** Notes that a file has changed. */
  touch(path) { this.#changed.add(path); }

  /**
   * Takes the changes of some folders since the last call: `[path, null]` for what was removed, `[path, { bytes, modified }]`
   * for a file, `[path, {}]` for a folder, before what is in it.
   */
  takeChanges(...folders) {
    const taken = [];
    const seen = new Set();
    for (const path of [...this.#changed].sort()) {
      if (folders.some((folder) => `${path}/`.startsWith(`${folder}/`)) && !seen.has(path)) describe(path, this.find(path), taken, seen);
    }
    this.#changed.clear();
    return taken;
  }

  /** Applies changes that were taken elsewhere; returns this. */
  apply(changes) {
    for (const [path, node] of changes) {
      if (node === null) this.remove(path);
      else if (node.bytes === undefined) this.createFolder(path);
      else {
        this.createFolder(path.slice(0, path.lastIndexOf('/')));
        this.put(path, new File(node.bytes, node.modified));
      }
    }
    return this;
  }

  /** A folder and everything in it, as changes that create it. */
  all(path) {
    const all = [];
    describe(path, this.find(path), all, new Set());
    return all;
  }
}

/** Adds the change that creates a file, or a folder with all that is in it. */
function describe(path, node, changes, seen) {
  seen.add(path);
  if (node instanceof File) changes.push([path, { bytes: node.content(), modified: node.modified }]);
  else if (node instanceof Folder) {
    changes.push([path, {}]);
    for (const [name, child] of node.children) describe(`${path}/${name}`, child, changes, seen);
  } else if (node === null) changes.push([path, null]);
}
