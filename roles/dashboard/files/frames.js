// Work split over frames: each job is small, and no frame spends more than its share on them.

const BUDGET = 6; // milliseconds

const jobs = new Map();
let asked = false;

function work(started) {
  asked = false;
  for (const [key, job] of jobs) {
    jobs.delete(key);
    job();
    if (performance.now() - started > BUDGET) {
      break;
    }
  }
  if (jobs.size > 0) {
    ask();
  }
}

function ask() {
  if (!asked) {
    asked = true;
    requestAnimationFrame(() => work(performance.now()));
  }
}

/** Do `job` in one of the next frames; a job that waits under the same key is replaced. */
export function later(key, job) {
  jobs.set(key, job);
  ask();
}

export function forget(key) {
  jobs.delete(key);
}
