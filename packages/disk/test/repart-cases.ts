/**
 * Folders of definition files for which imgtool's partition table must be systemd-repart's.
 * `make-repart-golden.ts` asks systemd-repart, `repart-folder.test.ts` compares.
 * @module
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface RepartCase {
  readonly name: string;
  /** Definition files by name; drop-ins with their folder. */
  readonly files: Readonly<Record<string, string>>;
  readonly sectorSize?: number;
  /** Bytes of the disk. Default: as small as it can be. */
  readonly size?: number;
}

export const seed = "5f1f5ac6-2c2e-4f0c-9d5e-7a1c0f3b8e21";
const mebibyte = 1024 ** 2;
const partition = (...lines: readonly string[]): string => `[Partition]\n${lines.join("\n")}\n`;
const fixed = (size: string): string => `SizeMinBytes=${size}\nSizeMaxBytes=${size}`;

export const repartCases: readonly RepartCase[] = [
  {
    name: "sizes that formats ask for",
    files: {
      "10.conf": partition("Type=esp", "Format=vfat"),
      "20.conf": partition("Type=swap", "Format=swap"),
      "30.conf": partition("Type=root", "Format=ext4"),
      "40.conf": partition("Type=srv", "Format=ext4", "SizeMinBytes=4096"),
      "50.conf": partition("Type=linux-generic", "Format=xfs"),
    },
  },
  {
    name: "a format that follows from the files",
    files: {
      "10.conf": partition("Type=esp", "CopyFiles=/etc:/"),
      "20.conf": partition("Type=xbootldr", "MakeDirectories=/loader"),
      "30.conf": partition("Type=home", "MakeDirectories=/user"),
      "40.conf": partition("Type=var", "MakeSymlinks=/run:/elsewhere"),
    },
  },
  {
    name: "CopyBlocks",
    files: {
      "10.conf": partition("Type=linux-generic", "CopyBlocks=/blocks"),
      "20.conf": partition("Type=root", "CopyBlocks=/blocks", "SizeMinBytes=4096"),
      "30.conf": partition("Type=root", "CopyBlocks=/large"),
    },
  },
  {
    name: "CopyBlocks under a hash tree",
    files: {
      "10.conf": partition("Type=usr", "CopyBlocks=/blocks", "Verity=data", "VerityMatchKey=usr", fixed("4M")),
      "20.conf": partition("Type=usr-verity", "Verity=hash", "VerityMatchKey=usr", fixed("64K")),
    },
  },
  {
    name: "flags, and the fields that win over them",
    files: {
      "10.conf": partition("Type=root", "Flags=0xf800000000000000", "ReadOnly=no", "NoAuto=no", "GrowFileSystem=yes"),
      "20.conf": partition("Type=home", "Flags=0b1000000000000000000000000000000000000000000000000", "ReadOnly=yes"),
      "30.conf": partition("Type=swap", "Flags=9223372036854775808"),
      "40.conf": partition("Type=usr", "Flags=0x1000000000000000"),
      "50.conf": partition("Type=linux-generic", "Flags=0x7000000000000000", "ReadOnly=yes", "NoAuto=yes"),
      "60.conf": partition("Type=srv", "Flags=0x8800000000000000", "ReadOnly=yes"),
    },
  },
  {
    name: "drop-ins, in order, and lists that they add to",
    files: {
      "10.conf": partition("Type=root", "Label=first", fixed("20M")),
      "10.conf.d/20-more.conf": partition("Label=third", "Flags=0x1000000000000"),
      "10.conf.d/10-less.conf": partition("Label=second", "SizeMinBytes=12M"),
      "10.conf.d/ignored.txt": "not read",
      "20.conf": partition("Type=swap", fixed("4M")),
      "20.conf.d/no-label.conf": partition("UUID=null"),
    },
  },
  {
    name: "a file that is empty hides nothing and defines nothing",
    files: { "10.conf": "", "20.conf": partition("Type=srv") },
  },
  {
    name: "types of one kind, labels and UUIDs",
    files: {
      "10.conf": partition("Type=root-x86-64", "Label=image_%a"),
      "20.conf": partition("Type=root", "Label=_empty", "NoAuto=yes"),
      "30.conf": partition("Type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
      "40.conf": partition("Type=root", "UUID=d1b5c9f8-3c0a-4b6e-8f6c-111111111111"),
      "50.conf": partition("Type=11111111-2222-4333-8444-555555555555"),
      "60.conf": partition("Type=11111111222243338444555555555555"),
      "a.conf": partition("Type=tmp", "Label=ünïcode label"),
      "B.conf": partition("Type=tmp"),
    },
  },
  {
    name: "weights and paddings",
    size: 600 * mebibyte,
    files: {
      "10.conf": partition("Type=esp", fixed("64M"), "PaddingWeight=500"),
      "20.conf": partition("Type=root", "Weight=2000", "PaddingMinBytes=3M", "PaddingMaxBytes=5M"),
      "30.conf": partition("Type=home", "Weight=333", "SizeMaxBytes=77777777"),
      "40.conf": partition("Type=srv", "Weight=0", "SizeMinBytes=12345678", "PaddingWeight=1"),
    },
  },
  {
    name: "priorities: what there is no room for",
    size: 64 * mebibyte,
    files: {
      "10.conf": partition("Type=root", fixed("40M")),
      "20.conf": partition("Type=swap", fixed("16M"), "Priority=5"),
      "30.conf": partition("Type=home", fixed("16M"), "Priority=5"),
      "40.conf": partition("Type=srv", fixed("8M"), "Priority=1"),
    },
  },
  {
    name: "priorities: a hash partition goes with its data",
    size: 64 * mebibyte,
    files: {
      "10.conf": partition("Type=root", fixed("40M")),
      "20.conf": partition(
        "Type=usr",
        fixed("20M"),
        "Priority=3",
        "CopyBlocks=/blocks",
        "Verity=data",
        "VerityMatchKey=u",
      ),
      "30.conf": partition("Type=usr-verity", fixed("8M"), "Priority=3", "Verity=hash", "VerityMatchKey=u"),
      "40.conf": partition("Type=srv", fixed("4M"), "Priority=1"),
    },
  },
  {
    name: "a supplement is joined",
    files: {
      "10-esp.conf": partition("Type=esp", "SizeMinBytes=16M", "SizeMaxBytes=300M", "Weight=7"),
      "20-xbootldr.conf": partition("Type=xbootldr", "SupplementFor=10-esp", "SizeMinBytes=64M", "PaddingMinBytes=1M"),
      "30-root.conf": partition("Type=root", "SizeMinBytes=20M"),
    },
  },
  {
    name: "a supplement's least size and padding, where the other has none",
    files: {
      "10-root.conf": partition("Type=root"),
      "20-home.conf": partition("Type=home", "SupplementFor=10-root", "SizeMinBytes=30M", "PaddingMinBytes=2M"),
      "30-srv.conf": partition("Type=srv", "PaddingMinBytes=1M"),
      "40-var.conf": partition("Type=var", "SupplementFor=30-srv", "SizeMinBytes=4M", "PaddingMinBytes=2M"),
    },
  },
  {
    name: "a supplement's weight counts, also where it is the default",
    size: 500 * mebibyte,
    files: {
      "10-root.conf": partition("Type=root", "Weight=3", "SizeMaxBytes=400M"),
      "20-home.conf": partition("Type=home", "SupplementFor=10-root", "SizeMaxBytes=350M"),
      "30-srv.conf": partition("Type=srv"),
    },
  },
  {
    name: "what is needed wins over SizeMaxBytes=",
    files: {
      "10.conf": partition("Type=root", "Format=ext4", "SizeMaxBytes=1M"),
      "20.conf": partition("Type=swap", "SizeMaxBytes=2M"),
      "30.conf": partition("Type=srv", "SizeMaxBytes=12M"),
      "40.conf": partition("Type=var", "Format=ext4", fixed("1M")),
      "50.conf": partition("Type=tmp", "CopyBlocks=/large", "SizeMaxBytes=2M"),
    },
  },
  {
    name: "least sizes of what is only read",
    files: {
      "10.conf": partition("Type=root", "Format=squashfs", "CopyFiles=/etc:/"),
      "20.conf": partition("Type=usr", "CopyBlocks=/blocks", "Verity=data", "VerityMatchKey=u", "SizeMaxBytes=2M"),
      "30.conf": partition("Type=usr-verity", "Verity=hash", "VerityMatchKey=u"),
      "40.conf": partition("Type=root-verity"),
      "50.conf": partition("Type=root-verity-sig"),
      "60.conf": partition("Type=swap"),
    },
  },
  {
    name: "a hash tree as small as it can be",
    files: {
      "10.conf": partition("Type=usr", "CopyBlocks=/aligned", "Verity=data", "VerityMatchKey=u", fixed("12M")),
      "20.conf": partition("Type=usr-verity", "Verity=hash", "VerityMatchKey=u", "Minimize=best"),
    },
  },
  {
    name: "a verity partition with a UUID of its own",
    files: {
      "10.conf": partition(
        "Type=usr",
        "CopyBlocks=/blocks",
        "Verity=data",
        "VerityMatchKey=u",
        "UUID=d1b5c9f8-3c0a-4b6e-8f6c-111111111111",
        fixed("4M"),
      ),
      "20.conf": partition("Type=usr-verity", "Verity=hash", "VerityMatchKey=u", fixed("64K")),
    },
  },
  {
    name: "no label, types of the secondary architecture, sizes that are added, flags in octal",
    files: {
      "10.conf": partition("Type=root", "Label="),
      "20.conf": partition("Type=root-secondary", "SizeMinBytes=11M 512K"),
      "30.conf": partition("Type=usr-secondary-verity", "SizeMinBytes=1G512M", "Priority=1"),
      "60.conf": partition("Type=srv", "Flags=02000000000000000000"),
    },
  },
  {
    name: "files that are not there, names with blanks and escapes",
    files: {
      "10.conf": partition(
        "Type=root",
        "Format=ext4",
        "CopyFiles=/nothing:/x",
        "CopyFiles=/etc:/with blanks\\x20in it",
      ),
      "20.conf": partition("Type=home", "Format=ext4", 'MakeDirectories="/a b" /c', 'MakeSymlinks="/s t:/c" /u:/v'),
    },
  },
  ...[512, 2048, 4096].flatMap((sectorSize) =>
    [4 * mebibyte, 4 * mebibyte + 4096].map((size) => ({
      name: `a disk of ${size} bytes with sectors of ${sectorSize}`,
      size,
      sectorSize,
      files: {
        "10.conf": partition("Type=linux-generic", fixed("64K")),
        "20.conf": partition("Type=srv", "SizeMinBytes=1M", "Weight=500"),
        "30.conf": partition("Type=tmp", "SizeMinBytes=512K"),
      },
    })),
  ),
  {
    name: "a disk as small as it can be",
    files: {
      "10.conf": partition("Type=linux-generic", fixed("64K")),
      "20.conf": partition("Type=srv", "SizeMinBytes=1M"),
    },
  },
  // The UUIDs are the root hashes.
  ...(
    [
      [undefined, []],
      [512, []],
      [1024, []],
      [2048, []],
      [4096, []],
      [undefined, ["VerityDataBlockSizeBytes=512", "VerityHashBlockSizeBytes=512"]],
      [512, ["VerityDataBlockSizeBytes=2048"]],
      [512, ["VerityHashBlockSizeBytes=4096"]],
      [4096, ["VerityDataBlockSizeBytes=1024", "VerityHashBlockSizeBytes=2048"]],
    ] as const
  ).flatMap(([sectorSize, lines]) =>
    (["small", "with room"] as const).map((size) => ({
      name: `a hash tree, ${size}, on sectors of ${sectorSize ?? "any"} bytes: ${lines.join(", ")}`,
      ...(sectorSize === undefined ? {} : { sectorSize }),
      files: {
        "10.conf": partition("Type=usr", "CopyBlocks=/aligned", "Verity=data", "VerityMatchKey=u", fixed("12M")),
        "20.conf": partition(
          "Type=usr-verity",
          "Verity=hash",
          "VerityMatchKey=u",
          ...(size === "small" ? ["Minimize=best"] : []),
          ...lines,
        ),
      },
    })),
  ),
  {
    name: "what a data partition says of the blocks of its hash tree",
    files: {
      "10.conf": partition(
        "Type=usr",
        "CopyBlocks=/aligned",
        "Verity=data",
        "VerityMatchKey=u",
        "VerityDataBlockSizeBytes=512",
        "VerityHashBlockSizeBytes=512",
        fixed("12M"),
      ),
      "20.conf": partition("Type=usr-verity", "Verity=hash", "VerityMatchKey=u"),
    },
  },
  ...[512, 1024, 2048, 4096].map((sectorSize) => ({
    name: `sectors of ${sectorSize} bytes`,
    sectorSize,
    files: {
      "10.conf": partition("Type=root", "SizeMinBytes=13M"),
      "20.conf": partition("Type=swap", fixed("40K")),
      "30.conf": partition("Type=srv", "PaddingMinBytes=4096"),
    },
  })),
];

function put(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** Makes the files of a case and the tree that they copy from. */
export function writeCase(
  folder: string,
  { files }: RepartCase,
): { readonly definitions: string; readonly tree: string } {
  const definitions = join(folder, "definitions");
  const tree = join(folder, "tree");
  mkdirSync(definitions, { recursive: true });
  for (const [name, text] of Object.entries(files)) put(join(definitions, name), text);
  put(join(tree, "etc/hostname"), "x\n");
  put(join(tree, "blocks"), new Uint8Array(1_048_576 + 512).fill(7));
  // The last, cut off block of others is in no hash tree that systemd-repart makes as small as it can be.
  put(join(tree, "aligned"), new Uint8Array(3 * mebibyte).fill(8));
  put(join(tree, "large"), new Uint8Array(11 * mebibyte + 1024).fill(9));
  return { definitions, tree };
}
