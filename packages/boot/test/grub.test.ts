import { copyFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { needPrograms, needRoot, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { embedGrub, formatGrubEntry } from "../src/index.ts";

const folderOfGrub = "/usr/lib/grub/i386-pc";
const partition = { offset: 3 * 1024 ** 2, size: 1024 ** 2 };

function bootImage(): Uint8Array {
  const image = new Uint8Array(512).fill(0xcc);
  image.set([0x55, 0xaa], 0x1fe);
  return image;
}

function coreImage(size: number): Uint8Array {
  const image = new Uint8Array(size).fill(0xdd);
  image.fill(0, 400, 512);
  new DataView(image.buffer).setUint16(510, 0x820, true);
  return image;
}

test("boot sector and core image name the sectors of the partition; the partition table stays", () => {
  const mbr = new Uint8Array(512).fill(0xee);
  const [core, sector] = embedGrub({ mbr, bootImage: bootImage(), coreImage: coreImage(1500), partition });
  expect(core?.offset).toBe(partition.offset);
  expect(core?.bytes.length).toBe(3 * 512);
  const list = Buffer.from(core?.bytes ?? []);
  expect([list.readBigUInt64LE(500), list.readUInt16LE(508), list.readUInt16LE(510)]).toEqual([6145n, 2, 0x820]);
  expect(list.subarray(1500)).toEqual(Buffer.alloc(36));
  const bytes = Buffer.from(sector?.bytes ?? []);
  expect(sector?.offset).toBe(0);
  expect(bytes.readBigUInt64LE(0x5c)).toBe(6144n);
  expect(bytes.subarray(0, 3)).toEqual(Buffer.alloc(3, 0xcc));
  expect(bytes.subarray(0x03, 0x5a)).toEqual(Buffer.alloc(0x57, 0xee));
  expect(bytes.subarray(0x64, 0x68).toString("hex")).toBe("ffcc9090");
  expect(bytes.subarray(0x1b8)).toEqual(Buffer.concat([Buffer.alloc(0x46, 0xee), Buffer.from("55aa", "hex")]));
});

const refused = (code: string): Error => expect.objectContaining({ code }) as Error;

test("what is not GRUB's, or does not fit, is refused", () => {
  const mbr = new Uint8Array(512);
  const embed = (changes: object): unknown =>
    embedGrub({ mbr, bootImage: bootImage(), coreImage: coreImage(2000), partition, ...changes });
  expect(() => embed({ bootImage: new Uint8Array(512) })).toThrow(refused("grub-image-invalid"));
  expect(() => embed({ coreImage: new Uint8Array(2000) })).toThrow(refused("grub-image-invalid"));
  expect(() => embed({ coreImage: new Uint8Array(3) })).toThrow(refused("grub-image-invalid"));
  expect(() => embed({ coreImage: coreImage(1025), partition: { ...partition, size: 1024 } })).toThrow(
    expect.objectContaining({ code: "bios-boot-full", message: expect.stringContaining(", 1 more than") }) as Error,
  );
  // However large the partition: the image is loaded below 640 KiB.
  expect(() => embed({ coreImage: coreImage(500_000) })).toThrow(refused("bios-boot-full"));
});

test("the bytes are those of grub-bios-setup", (context) => {
  needRoot(context);
  needPrograms(context, "grub-mkimage", "sgdisk", "unshare");
  if (!existsSync(`${folderOfGrub}/grub-bios-setup`)) context.skip(`needs ${folderOfGrub}/grub-bios-setup`);
  using folder = temporaryFolder();
  const [disk, grub] = [folder.join("disk"), folder.join("boot.img")];
  writeFileSync(disk, "");
  truncateSync(disk, 8 * 1024 ** 2);
  run("sgdisk", ["--new=1:6144:8191", "--typecode=1:ef02", disk]);
  copyFileSync(`${folderOfGrub}/boot.img`, grub);
  const core = folder.join("core.img");
  run("grub-mkimage", [`--output=${core}`, "--format=i386-pc", "--prefix=/grub", "biosdisk", "part_gpt", "fat"]);
  const before = readFileSync(disk);
  const expected = Buffer.from(before);
  const images = { bootImage: readFileSync(grub), coreImage: readFileSync(core) };
  for (const { offset, bytes } of embedGrub({ mbr: before.subarray(0, 512), ...images, partition }))
    expected.set(bytes, offset);
  // It looks for the device of the folder's file system, and is told that it is the disk.
  writeFileSync(folder.join("mounts"), `1 0 1:1 / / - fat ${disk}\n`);
  const script = `mount --bind "$1" /proc/$$/mountinfo; exec "$0/grub-bios-setup" --skip-fs-probe --no-rs-codes --directory="$2" "$3"`;
  const formatted = ["-c", script, folderOfGrub, folder.join("mounts"), folder.path, disk];
  run("unshare", ["--mount", "sh", ...formatted]);
  const written = readFileSync(disk);
  expect(written.equals(before)).toBe(false);
  expect(written.equals(expected)).toBe(true);
});

test("an entry is a script in which nothing of an option is taken for GRUB's own language", () => {
  const entry = formatGrubEntry({
    title: "thing-6.1",
    platforms: ["pc"],
    start: {
      kind: "linux",
      kernel: "/thing/6.1/vmlinuz",
      initrds: ["/thing/6.1/0-initrd"],
      options: ["root=PARTUUID=1", "a=$b;c", 'd="e f"'],
    },
  });
  expect(entry).toBe(`if [ "\${grub_platform}" == "pc" ]; then
menuentry thing-6.1 {
    linux /thing/6.1/vmlinuz root=PARTUUID=1 'a=$b;c' d="e f"
    initrd /thing/6.1/0-initrd
}
fi
`);
  const unified = formatGrubEntry({
    title: "thing",
    platforms: ["efi", "pc"],
    start: { kind: "efi", program: "/EFI/Linux/thing+3.efi" },
  });
  expect(unified).toBe(`if [ "\${grub_platform}" == "efi" -o "\${grub_platform}" == "pc" ]; then
menuentry thing {
    chainloader /EFI/Linux/thing+3.efi
}
fi
`);
});
