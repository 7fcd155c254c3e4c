import { hostTools } from "@imgtool/host";
import { expect, test } from "vitest";
import { doctorLines, findVersion, type ToolRow } from "./doctor-report.ts";

test("versions are found in what programs say", () => {
  const said = {
    "bubblewrap 0.8.0": "0.8.0",
    "mksquashfs version 4.5.1 (2022/03/17)": "4.5.1",
    "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)": "7.2.22",
    "systemd 252 (252.39-1~deb12u2)": "252",
    "kmod version 30": "30",
    "TPM emulator version 0.7.1, Copyright (c) 2014-2021 IBM Corp.": "0.7.1",
    "OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.17": "9.2",
    "unshare from util-linux 2.38.1": "2.38.1",
    "usage: newuidmap <pid>": undefined,
  };
  for (const [text, version] of Object.entries(said)) expect([text, findVersion(text)]).toEqual([text, version]);
});

function row(name: string, version: string | undefined, isThere = true): ToolRow {
  const tool = hostTools[name] ?? { package: name, purpose: "" };
  return { name, ...tool, path: isThere ? `/usr/bin/${name}` : undefined, version };
}

test("a machine with old and missing programs is told what it cannot do, and what would help", () => {
  const lines = doctorLines([
    row("mksquashfs", "4.4"),
    row("unshare", "2.41"),
    row("qemu-system-x86_64", "7.2.22"),
    row("newuidmap", undefined),
    row("swtpm", undefined, false),
  ]);
  expect(lines.slice(0, 5)).toEqual([
    "     old  mksquashfs          4.4     make squashfs file systems",
    "      ok  unshare             2.41    build without root, in a user namespace",
    "     old  qemu-system-x86_64  7.2.22  run images in a virtual machine (imgtool vm)",
    "      ok  newuidmap                   give a build without root the user ids of an image",
    "optional  swtpm                       give virtual machines a TPM (TPM=yes)",
  ]);
  expect(lines.slice(-4)).toEqual([
    "Not possible on this machine:",
    "  mksquashfs 4.4 cannot take a tree as an archive: no squashfs can be made; 4.5 can",
    "  qemu-system-x86_64 7.2.22 cannot emulate cmpxchg16b rightly: without KVM, guests made for x86-64-v2 do not start; 8.0 can",
    "  give virtual machines a TPM (TPM=yes): needs swtpm (package swtpm)",
  ]);
  expect(lines.join("\n")).toContain("runs no program of e2fsprogs, btrfs-progs, xfsprogs, erofs-utils");
});

test("a machine that has all is told nothing that it cannot do", () => {
  const lines = doctorLines([row("mksquashfs", "4.6.1"), row("qemu-system-x86_64", "10.0.2")]);
  expect(lines.join("\n")).not.toContain("Not possible");
});
