/**
 * Block devices for tests.
 * @module
 */
import { run, type SkippableContext } from "@imgtool/testkit";

export interface LoopDevice extends Disposable {
  /** `/dev/loop…` */
  readonly path: string;
}

/** A block device with the content of a file; skips the test where the machine has none. */
export function attachLoopDevice(context: SkippableContext, file: string): LoopDevice {
  let path = "";
  try {
    path = run("losetup", ["--find", "--show", file]).trim();
  } catch {
    context.skip("needs loop devices");
  }
  return { path, [Symbol.dispose]: () => void run("losetup", ["--detach", path]) };
}
