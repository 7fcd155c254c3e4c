import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { repartCases, seed, writeCase } from "../test/repart-cases.ts";
import { makeDisk } from "./make-disk.ts";
import { readDefinitions } from "./repart-folder.ts";

interface Golden {
  readonly name: string;
  readonly [field: string]: unknown;
}

const golden = JSON.parse(
  readFileSync(new URL("../test/repart-257-folders.json", import.meta.url), "utf8"),
) as readonly Golden[];

test.each(repartCases.map((one) => [one.name, one] as const))(
  "laid out as systemd-repart 257 does: %s",
  async (name, one) => {
    using folder = temporaryFolder();
    const { definitions: from, tree } = writeCase(folder.path, one);
    const { definitions } = await readDefinitions([from], { expand: (text) => text.replaceAll("%a", "x86-64") });
    const { size, diskUuid, partitions } = await makeDisk({
      output: folder.join("disk"),
      tree,
      definitions,
      seed,
      architecture: "x86-64",
      ...(one.sectorSize === undefined ? {} : { sectorSize: one.sectorSize }),
      ...(one.size === undefined ? {} : { size: one.size }),
    });
    const made = {
      name,
      size,
      diskUuid,
      partitions: partitions.map(({ number, typeUuid, uuid, label, flags, offset, size }) => {
        return { number, typeUuid, uuid, label, flags: flags.toString(16).padStart(16, "0"), offset, size };
      }),
    };
    expect(made).toEqual(golden.find((expected) => expected.name === name));
  },
);

test("of several folders the first one's file counts, and a link to /dev/null hides", async () => {
  using folder = temporaryFolder();
  for (const name of ["a", "b", "b/30.conf.d"]) mkdirSync(folder.join(name));
  writeFileSync(folder.join("a/20.conf"), "[Partition]\nType=swap\n");
  writeFileSync(folder.join("b/20.conf"), "[Partition]\nType=home\n");
  writeFileSync(folder.join("b/30.conf"), "[Partition]\nType=srv\nLabel=x\n");
  writeFileSync(folder.join("b/30.conf.d/label.conf"), "[Partition]\nLabel=y\nFormt=ext4\n");
  writeFileSync(folder.join("b/10.conf"), "[Partition]\nType=esp\n");
  symlinkSync("/dev/null", folder.join("a/10.conf"));
  const { definitions, warnings } = await readDefinitions([folder.join("a"), folder.join("b")]);
  expect(definitions.map(({ type, label }) => [type, label])).toEqual([
    ["swap", undefined],
    ["srv", "y"],
  ]);
  expect(warnings.map(({ message }) => message)).toEqual([
    `${folder.join("b/30.conf.d/label.conf")}:3: unknown field Formt=: did you mean Format=?`,
  ]);
});

test.each([
  [["Type=home\nSupplementFor=other"], "no definition of that name"],
  [["Type=root", "Type=home\nSupplementFor=0", "Type=srv\nSupplementFor=0"], "it has a supplement already"],
  [["Type=root\nCopyBlocks=/x", "Type=home\nSupplementFor=0"], "cannot be combined with CopyBlocks="],
  [["Type=root\nFormat=ext4", "Type=home\nSupplementFor=0\nEncrypt=key-file"], "cannot be combined with CopyBlocks="],
  [["Type=root\nFormat=ext4\nEncrypt=key-file", "Type=home\nSupplementFor=0"], "cannot be combined with CopyBlocks="],
])("%j is refused", async (sections, message) => {
  using folder = temporaryFolder();
  for (const [index, text] of sections.entries()) writeFileSync(folder.join(`${index}.conf`), `[Partition]\n${text}\n`);
  await expect(readDefinitions([folder.path])).rejects.toThrow(message);
});
