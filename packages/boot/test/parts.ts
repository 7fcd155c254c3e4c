/** Parts of a unified kernel image, small enough to keep one in the repository. */
import { makeStub, sbatHead } from "./stub.ts";

/** A kernel: a PE program with an SBAT of its own that cannot do without writable code. */
export const testKernel: Uint8Array = makeStub({
  sections: [
    { name: ".text", virtualAddress: 0x1000, content: Buffer.from("kernel") },
    { name: ".sbat", virtualAddress: 0x2000, content: Buffer.from(`${sbatHead}linux,1,Test,linux,6.1,test\n`) },
  ],
  dllCharacteristics: 0,
});

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
