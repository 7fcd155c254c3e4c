import { ConfigError } from "@imgtool/core";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { parseDefinition } from "./repart-file.ts";

test("every field is read", () => {
  const text = `# a comment
[Partition]
Type=root
Label=my root
UUID=01234567-89ab-4def-8123-456789abcdef
Priority=-3
Weight=500
PaddingWeight=7
SizeMinBytes=12345678
SizeMaxBytes=12345678
PaddingMinBytes=1M
PaddingMaxBytes=2M
Format=erofs
CopyFiles=/
CopyFiles=/etc:/usr/with blank\\x41\\xc3\\xa9
CopyFiles=/opt
ExcludeFiles=/boot/ \\
  /efi/
ExcludeFilesTarget=/x
MakeSymlinks=/bin:usr/bin /a:/b:c
VolumeLabel=volume
Subvolumes=/home /var/log:ro
DefaultSubvolume=/home
VerityDataBlockSizeBytes=4096
VerityHashBlockSizeBytes=1K
MakeDirectories=/a /b
Verity=data
VerityMatchKey=key
Minimize=best
Flags=0x1000000000000001
ReadOnly=yes
NoAuto=off
GrowFileSystem=0
SplitName=-
`;
  expect(parseDefinition(text, "root.conf")).toEqual({
    warnings: [],
    definition: {
      origin: "root.conf",
      type: "root",
      label: "my root",
      uuid: "01234567-89ab-4def-8123-456789abcdef",
      priority: -3,
      weight: 500,
      paddingWeight: 7,
      // The grain as systemd-repart rounds: a minimum down, a maximum up.
      sizeMin: 12_345_344,
      sizeMax: 12_349_440,
      paddingMin: 1024 ** 2,
      paddingMax: 2 * 1024 ** 2,
      format: "erofs",
      copyFiles: [
        { source: "/", target: "/", optional: "told" },
        { source: "/etc", target: "/usr/with blankAé", optional: "told" },
        { source: "/opt", target: "/opt", optional: "told" },
      ],
      excludeFiles: ["/boot/", "/efi/"],
      excludeFilesTarget: ["/x"],
      makeSymlinks: [
        { path: "/bin", target: "usr/bin" },
        { path: "/a", target: "/b:c" },
      ],
      volumeLabel: "volume",
      subvolumes: [
        { path: "/home", readOnly: false },
        { path: "/var/log", readOnly: true },
      ],
      defaultSubvolume: "/home",
      makeDirectories: ["/a", "/b"],
      verity: "data",
      verityMatchKey: "key",
      verityDataBlockSize: 4096,
      verityHashBlockSize: 1024,
      minimize: "best",
      flags: 0x1000000000000001n,
      readOnly: true,
      noAuto: false,
      growFileSystem: false,
      splitName: "-",
    },
  });
});

test("lists are cleared by an empty value", () => {
  const { definition } = parseDefinition("[Partition]\nType=root\nCopyFiles=/\nCopyFiles=\nCopyFiles=/usr\n", "x");
  expect(definition.copyFiles).toEqual([{ source: "/usr", target: "/usr", optional: "told" }]);
});

test("a compression that nobody uses is said", () => {
  const text = "[Partition]\nType=root\nCompression=zstd\nCompressionLevel=3\nFormat=";
  expect(parseDefinition(`${text}squashfs\n`, "p").definition).toMatchObject({
    compression: "zstd",
    compressionLevel: 3,
  });
  expect(parseDefinition(`${text}squashfs\n`, "p").warnings).toEqual([]);
  expect(parseDefinition(`${text}ext4\n`, "p").warnings.map(({ message }) => message)).toEqual([
    "p: Compression= has no effect: of imgtool's formats only squashfs, btrfs, erofs compress",
  ]);
});

test("unknown fields and sections warn with file and line", () => {
  const { warnings } = parseDefinition("[Partition]\nType=root\nFormt=ext4\nX-Mine=1\n[Other]\nA=b\n", "p.conf");
  expect(warnings.map(({ message }) => message)).toEqual([
    "p.conf:3: unknown field Formt=: did you mean Format=?",
    "p.conf:5: unknown section [Other]",
  ]);
});

test.each([
  ["Type=root", 'x:1: "Type=root" stands before any section'],
  ["[Partition]\nLabel=a", "has no Type="],
  ["[Partition]\nType", "x:2: expected Field=value"],
  [
    "[Partition]\nType=root\nEncrypt=tpm2",
    "x:3: Encrypt=tpm2: a TPM's key can be enrolled only on the machine that has it",
  ],
  ["[Partition]\nType=root\nCopyBlocks=auto", "x:3: CopyBlocks=auto: this copies the running system"],
  ["[Partition]\nType=root\nSubvolumes=/a:rw", "expected PATH or PATH:ro"],
  ["[Partition]\nType=root\nMakeSymlinks=/a", "expected PATH:TARGET"],
  ["[Partition]\nType=root\nVerityDataBlockSizeBytes=5", "expected one of 512, 1024"],
  ["[Partition]\nType=root\nWeight=-1", "x:3: Weight=-1: expected a whole number"],
  ["[Partition]\nType=root\nSizeMinBytes=big", "x:3: SizeMinBytes=big: not a size"],
  ["[Partition]\nType=root\nSizeMinBytes=12x", 'x:3: SizeMinBytes=12x: not a size: "12x"'],
  ["[Partition]\nType=root\nCopyFiles=usr", "expected an absolute path"],
  ["[Partition]\nType=root\nReadOnly=maybe", "expected yes or no"],
  ["[Partition]\nType=root\nVerity=perhaps", "expected off, data, hash"],
  ["[Partition]\nType=root\nUUID=7", "expected a UUID"],
  ["[Partition]\nType=root\nFlags=abc", "expected a number"],
])("%j is refused", (text, message) => {
  expect(() => parseDefinition(text, "x")).toThrow(message);
});

const outcome = (text: string): unknown => {
  try {
    return parseDefinition(`[Partition]\nType=root\n${text}`, "x").definition.type === undefined ? "no type" : "read";
  } catch (error) {
    return error instanceof ConfigError ? error.code : error;
  }
};
const expand = (value: string): string => value.replaceAll("%A", "7");

test("any text is read or refused with a code", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(["read", "definition-invalid"]).toContain(outcome(text));
    }),
    { numRuns: 50 },
  );
});

test("specifiers are expanded by the caller", () => {
  expect(parseDefinition("[Partition]\nType=root\nLabel=v%A\n", "x", { expand }).definition.label).toBe("v7");
});
