/**
 * `imgtool burn`: a disk image on a device that is larger, and what must not be overwritten.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { attachLoopDevice, needPrograms, needRoot, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cli, expectError } from "./cli.ts";

function describe(disk: string): string {
  return run("sgdisk", ["--info=1", disk]).replaceAll(/^.*warning.*$/gim, "");
}

test("an image is written to a device, whose end the table then knows", { tags: ["system"] }, (context) => {
  needRoot(context);
  needPrograms(context, "losetup", "sgdisk", "e2fsck", "dd", "mount");
  using folder = temporaryFolder();
  const cwd = folder.path;
  mkdirSync(folder.join("mkosi.skeleton/usr/lib"), { recursive: true });
  writeFileSync(folder.join("mkosi.skeleton/usr/lib/os-release"), "ID=custom\n");
  writeFileSync(folder.join("mkosi.conf"), "[Distribution]\nDistribution=custom\n[Output]\nFormat=raw_ext4\n");
  expect(cli(["build"], { cwd }).exitCode).toBe(0);
  const image = folder.join("image.raw");
  // A device with something on it, 5 MB and a bit larger than the image.
  const stick = folder.join("stick");
  const file = openSync(stick, "w");
  ftruncateSync(file, readFileSync(image).length + 5_000_192);
  for (let at = 0; at < 24; at++) writeSync(file, Buffer.alloc(4096, 0xaa), 0, 4096, at * 300_000);
  closeSync(file);
  using device = attachLoopDevice(context, stick);

  expectError(cli(["burn", device.path], { cwd }), 2, "--yes", device.path);
  expect(readFileSync(stick)[0]).toBe(0xaa);
  const burnt = cli(["burn", "--yes", device.path], { cwd });
  expect(burnt.exitCode, burnt.stderr).toBe(0);
  expect(run("sgdisk", ["--verify", stick])).toContain("No problems found");
  expect(describe(stick)).toBe(describe(image));
  const [written, original] = [readFileSync(stick), readFileSync(image)];
  const tail = 33 * 512;
  // All but the two tables is the image's.
  const table = 34 * 512;
  expect(written.subarray(table, original.length - tail).equals(original.subarray(table, original.length - tail))).toBe(
    true,
  );
  const offset = Number(/First sector: (\d+)/.exec(describe(stick))?.[1]);
  run("dd", [`if=${stick}`, `of=${folder.join("part")}`, "bs=512", `skip=${offset}`, "status=none"]);
  run("e2fsck", ["-fn", folder.join("part")]);

  writeFileSync(folder.join("small"), Buffer.alloc(1024 ** 2));
  using small = attachLoopDevice(context, folder.join("small"));
  const refused = cli(["burn", "--yes", small.path], { cwd });
  expect([refused.exitCode, refused.stderr]).toEqual([
    2,
    expect.stringMatching(/too small for the image: expected .* found 1 MiB \(\d+ bytes less\)/),
  ]);
  expectError(cli(["burn", "--yes", folder.join("small")], { cwd }), 2, "not a block device", "lsblk");
  // One that is in use.
  const place = folder.join("place");
  mkdirSync(place);
  run("mkfs.ext4", ["-q", "-F", folder.join("small")]);
  run("mount", [small.path, place]);
  try {
    expectError(cli(["burn", "--yes", small.path], { cwd }), 6, "in use", "lsblk");
  } finally {
    run("umount", [place]);
  }
});
