/**
 * A build's files have the modes that are meant, whoever builds: tools such as depmod make theirs by the
 * umask that they inherit, and that of a careful user would come into the image.
 * @module
 */
import { isMainThread } from "node:worker_threads";

const meant = 0o022;
let holders = 0;
let former = meant;

/** Sets the process's umask to 022 until the last holder has disposed of it. Other threads cannot set it. */
export function holdUmask(): Disposable {
  if (!isMainThread) return { [Symbol.dispose]: () => {} };
  if (holders++ === 0) former = process.umask(meant);
  return {
    [Symbol.dispose]: () => {
      if (--holders === 0) process.umask(former);
    },
  };
}
