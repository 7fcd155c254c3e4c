/** Parts of a unified kernel image, small enough to keep one in the repository. */
import { testKernel } from "@imgtool/testkit";

export const goldenParts: Readonly<Record<string, Uint8Array>> = {
  linux: testKernel,
  initrd: Buffer.alloc(1001, 7),
  modules: Buffer.alloc(30, 9),
  osRelease: Buffer.from('ID=test\nPRETTY_NAME="Test"\n'),
  commandLine: Buffer.from("root=/dev/x rw\0"),
  ucode: Buffer.alloc(700, 3),
  splash: Buffer.from("BM not a picture"),
  dtb: Buffer.alloc(64, 5),
};
