/**
 * A seccomp(2) filter that has fsync(2) and its relatives succeed without doing anything.
 *
 * dpkg flushes its database after every package, and waits for everything else that is written to the
 * disk meanwhile. A tree that is thrown away when the machine crashes gains nothing by it.
 * @module
 */

interface Platform {
  /** AUDIT_ARCH_* of linux/audit.h. */
  readonly audit: number;
  /** Numbers of fsync, fdatasync, sync, syncfs, msync and sync_file_range. */
  readonly calls: readonly number[];
}

const platforms: Readonly<Record<string, Platform>> = {
  x64: { audit: 0xc000_003e, calls: [74, 75, 162, 306, 26, 277] },
  arm64: { audit: 0xc000_00b7, calls: [82, 83, 81, 267, 227, 84] },
};

// linux/bpf_common.h and linux/seccomp.h
const loadWord = 0x20;
const jumpIfEqual = 0x15;
const returnValue = 0x06;
const actionAllow = 0x7fff_0000;
const actionSucceed = 0x0005_0000;
const offsetOfNumber = 0;
const offsetOfArchitecture = 4;

/** The filter as bwrap's --seccomp reads it, or undefined where imgtool does not know the call numbers. */
export function suppressSyncFilter(architecture: string = process.arch): Uint8Array<ArrayBuffer> | undefined {
  const platform = platforms[architecture];
  if (platform === undefined) return undefined;
  const { audit, calls } = platform;
  // Code, jump when true, jump when false, value. Programs of another word size have other numbers: allowed.
  const program: [number, number, number, number][] = [
    [loadWord, 0, 0, offsetOfArchitecture],
    [jumpIfEqual, 0, calls.length + 1, audit],
    [loadWord, 0, 0, offsetOfNumber],
    ...calls.map((call, index): [number, number, number, number] => [jumpIfEqual, calls.length - index, 0, call]),
    [returnValue, 0, 0, actionAllow],
    [returnValue, 0, 0, actionSucceed],
  ];
  const bytes = new Uint8Array(8 * program.length);
  const view = new DataView(bytes.buffer);
  for (const [index, [code, whenTrue, whenFalse, value]] of program.entries()) {
    view.setUint16(8 * index, code, true);
    view.setUint8(8 * index + 2, whenTrue);
    view.setUint8(8 * index + 3, whenFalse);
    view.setUint32(8 * index + 4, value, true);
  }
  return bytes;
}
