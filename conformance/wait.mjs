// Waits with a deadline, for every suite in JavaScript.

/** The limit of one wait: long enough for a busy machine, short enough to name what hangs. */
export const WAIT_MS = 20_000;

const LOOK_EVERY_MS = 10;

/** Waits until `condition` gives something true, and gives that; fails with `what` (a text, or what makes one). */
export async function until(condition, what, ms = WAIT_MS) {
  const end = performance.now() + ms;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${typeof what === "function" ? what() : what}`);
    await elapse(LOOK_EVERY_MS);
  }
}

/** Settles as `promise` does, or fails with what did not come. */
export async function within(promise, what, ms = WAIT_MS) {
  let timer;
  const deadline = new Promise((_resolve, reject) => {
    const error = new Error(`no ${what} within ${ms} ms`);
    timer = setTimeout(() => reject(error), ms);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** Only where the passing of time is itself what a test is about. */
export const elapse = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
