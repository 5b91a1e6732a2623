// The page with all lessons.

import { $, el } from './core.js';
import { frame } from './frame.js';
import { stepUrl, tasksDone } from './lesson.js';
import { LESSONS } from './lesson-texts.js';

frame();
const isDone = tasksDone();
$('#lessons').append(...LESSONS.map(({ title, says, minutes, steps }, at) => {
  const finished = steps.filter((_, step) => isDone[`${at + 1}.${step + 1}`]).length;
  const open = steps.findIndex((_, step) => !isDone[`${at + 1}.${step + 1}`]);
  const word = finished === 0 ? 'Start' : open < 0 ? 'Once more' : 'Continue';
  return el('li', {}, el('h2', {}, title), el('p', {}, says),
    el('p', { class: 'fine' }, `${steps.length} steps, about ${minutes} minutes${finished > 0 ? `; ${open < 0 ? 'done' : `${finished} of ${steps.length} done`}` : ''}`),
    el('a', { class: `button${open < 0 ? '' : ' primary'}`, href: stepUrl(at, Math.max(open, 0)), 'aria-label': `${word}: ${title}` }, word));
}));
