// Camera access, for the pages that use one.

/** Messages for the errors of browsers. */
const WORDS = {
  NotAllowedError: 'The camera is blocked. Allow it for this page in the browser, then try again.',
  NotFoundError: 'No camera was found.',
  OverconstrainedError: 'No camera was found.',
  NotReadableError: 'The camera is in use by another program.',
};

/** Opens the camera; throws an error with a message for the user. */
export async function openCamera() {
  if (!window.isSecureContext) throw new Error(`Browsers give the camera to secure pages only. Open the studio at http://localhost:${location.port} on its own machine, through ssh -L, or through HTTPS.`);
  if (!navigator.mediaDevices?.getUserMedia) throw new Error('This browser gives no access to a camera.');
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch (error) {
    throw new Error(WORDS[error.name] ?? `The camera cannot be started: ${error.message}`);
  }
}

/** The RGB bytes of a canvas, row by row. */
export function rgbOf(context, width, height) {
  const { data } = context.getImageData(0, 0, width, height);
  const raw = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) [raw[to], raw[to + 1], raw[to + 2]] = [data[from], data[from + 1], data[from + 2]];
  return raw;
}
