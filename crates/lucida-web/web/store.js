// The browser's database, which keeps the files of the studio between visits.

const DATABASE = 'lucida';
const TABLE = 'files';

/** A database request, as a promise. */
const result = (request) => new Promise((done, failed) => {
  request.onsuccess = () => done(request.result);
  request.onerror = () => failed(request.error);
});

/** Opens the database. */
export async function openStore() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
  const database = await result(request);
  return {
    /** All files and folders, as changes that create them. */
    async load() {
      const table = database.transaction(TABLE).objectStore(TABLE);
      const [paths, nodes] = await Promise.all([result(table.getAllKeys()), result(table.getAll())]);
      return paths.map((path, at) => [path, nodes[at]]);
    },

    /** Keeps changes: all of them, or, when the browser has no room left, none. */
    save(changes) {
      return new Promise((done, failed) => {
        const transaction = database.transaction(TABLE, 'readwrite');
        transaction.oncomplete = done;
        transaction.onabort = () => failed(transaction.error);
        const table = transaction.objectStore(TABLE);
        for (const [path, node] of changes) {
          if (node === null) {
            table.delete(path);
            // What was in a folder: `0` is the character after `/`.
            table.delete(IDBKeyRange.bound(`${path}/`, `${path}0`));
          } else table.put(node, path);
        }
      });
    },
  };
}
