/** Parts of a unified kernel image, small enough to keep one in the repository. */
import type { UkiProfile } from "@imgtool/boot";
import { makeStub, stubSections, testKernel } from "@imgtool/testkit";

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

export const goldenProfiles: readonly UkiProfile[] = [
  { properties: { ID: "factory-reset", TITLE: "Factory reset" }, commandLine: "root=/dev/x rw systemd.unit=reset" },
  { properties: { ID: "plain" } },
];

/** As systemd's addon stub: nothing to run, and no SBAT of its own. */
export const addonStub: Uint8Array = makeStub({ sections: stubSections.filter(({ name }) => name !== ".sbat") });
