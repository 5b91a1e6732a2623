// Opens model files: with the button next to the list of models, or dropped on the page.

import { $, ask, attempt, path, say, sure, uploadAll } from './core.js';

/** Extensions of model files; those that a model refers to may have any. */
const MODELS = /\.(safetensors|keras|h5|onnx|pth|pt|tflite)$/i;

/** Starts the controls; `changed(id)` is called with the identifier of an opened model. */
export function openModels(changed) {
  const [button, input] = [$('#model-open'), $('#model-file')];
  const open = async (files) => {
    if (files.length === 0) return;
    button.disabled = true;
    say(`Opening ${files[0].name}…`);
    const model = await attempt(() => uploadAll([...files], 'model', '/api/models'));
    button.disabled = false;
    if (!model) return;
    say(`${model.name} is open.`);
    await changed(model.id);
  };
  button.addEventListener('click', () => input.click());
  input.addEventListener('change', async () => {
    await open(input.files);
    input.value = '';
  });
  addEventListener('dragover', (event) => { if (event.dataTransfer.types.includes('Files')) event.preventDefault(); });
  addEventListener('drop', (event) => {
    // Without this, the browser would leave the page for the file.
    if (event.dataTransfer.types.includes('Files')) event.preventDefault();
    const { files } = event.dataTransfer;
    if ([...files].some(({ name }) => MODELS.test(name))) open(files);
  });
}

/** Shows the button that removes the chosen model, if it was opened from a file; `removed()` is called afterwards. */
export function showRemoval({ id, name }, group, removed) {
  $('#model-opened').hidden = group !== 'Opened';
  $('#model-remove').onclick = async () => {
    if (!await sure(`Remove ${name}, and its preprocessing? Your own copy of the file stays as it is.`, 'Remove')) return;
    await attempt(async () => {
      await ask(path`/api/models/${id}`, { method: 'DELETE' });
      await removed();
    });
  };
}
