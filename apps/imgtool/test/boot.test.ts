/**
 * The examples that boot, booted: from the firmware on, through boot loader, unified kernel image and
 * initrd, into the system itself.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { driveConsole, type Guest } from "@imgtool/machine";
import { serveDirectory } from "@imgtool/store";
import { needPrograms, needRoot, run, temporaryFolder, tryRun, type TemporaryFolder } from "@imgtool/testkit";
import { afterAll, expect, test, type TestContext } from "vitest";
import { checkout, imgtool } from "./cli.ts";

interface Partition {
  readonly type: string;
  readonly offset: number;
}

// What builds of the same packages install is the first one's. The first build makes the folder, so that none is
// left where no test of this file runs.
const cache = join(tmpdir(), `imgtool-test-boot-${process.pid}`);
afterAll(() => rmSync(cache, { recursive: true, force: true }));

const local = `
[Content]
RootPassword=secret
[Build]
PackageCacheDirectory=${join(tmpdir(), "imgtool-test-packages")}
Incremental=yes
CacheDirectory=${cache}
[Runtime]
Ephemeral=yes
RAM=1G
CPUs=2
Console=interactive
# With a TPM systemd measures the boot, and fails where the image lacks the libraries for it.
TPM=no
# Its disk would come before those that tests add.
RuntimeScratch=no
`;

function needs(context: TestContext): void {
  needRoot(context);
  needPrograms(context, "mmdebstrap", "bwrap", "apt-get", "depmod", "qemu-system-x86_64");
  if (tryRun("apt-cache", ["policy", "linux-image-cloud-amd64"]).status !== 0)
    context.skip("needs an archive of packages");
}

interface BuiltImage {
  readonly image: string;
  readonly partitions: readonly Partition[];
  readonly rootHash?: string;
}

/** Builds an example. */
function buildExample(
  folder: TemporaryFolder,
  name: string,
  settings = local,
  change: (place: string) => void = () => {},
): BuiltImage {
  cpSync(join(checkout, "examples", name), folder.path, { recursive: true });
  change(folder.path);
  writeFileSync(folder.join("mkosi.local.conf"), settings);
  const built = tryRun(imgtool, ["-C", folder.path, "build"]);
  expect(built.status, built.stderr).toBe(0);
  const record = JSON.parse(readFileSync(folder.join(`${name}_1.build.json`), "utf8")) as {
    artifacts: (Partial<BuiltImage> & { path: string })[];
  };
  const disk = record.artifacts.find(({ partitions }) => partitions !== undefined);
  return { partitions: [], ...disk, image: folder.join(disk?.path ?? "") };
}

interface SharedImage extends BuiltImage {
  readonly folder: TemporaryFolder;
}

let signed: SharedImage | undefined;
let bootable: SharedImage | undefined;
afterAll(() => {
  signed?.folder[Symbol.dispose]();
  bootable?.folder[Symbol.dispose]();
});

/** The example with ext4, with a boot loader for BIOS, too, and the tree as an archive: built once. */
function bootableExample(): SharedImage {
  if (bootable === undefined) {
    const folder = temporaryFolder();
    const settings = `${local}[Content]\nBiosBootloader=grub\nPackages=grub-pc-bin\n[Output]\nSplitArtifacts=tar\n`;
    bootable = { folder, ...buildExample(folder, "bootable", settings) };
  }
  return bootable;
}

const trusted = "FirmwareVariables=custom\n";
const signedSettings = `${local}${trusted}[Validation]\nSecureBoot=yes\n`;

/** The example whose root is checked, signed with keys of its own: built once. */
function signedExample(): SharedImage {
  if (signed === undefined) {
    const folder = temporaryFolder();
    run(imgtool, ["-C", folder.path, "genkey"]);
    signed = { folder, ...buildExample(folder, "verity", signedSettings) };
  }
  return signed;
}

/** Starts what was built; arguments for QEMU follow "--". */
function boot(folder: TemporaryFolder, ...args: readonly string[]): Guest {
  const child = spawn(imgtool, ["-C", folder.path, "vm", ...args], {
    cwd: checkout,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "close").then(([code]) => Number(code));
  return driveConsole({
    input: child.stdin,
    output: child.stdout,
    ended,
    kill: () => child.kill("SIGKILL"),
  });
}

test(
  "a disk with ext4 boots into a system without a failed unit: by UEFI and systemd-boot, by BIOS and GRUB",
  { tags: ["boot"] },
  async (context) => {
    needs(context);
    needPrograms(context, "systemd-nspawn", "tar");
    const { folder, partitions } = bootableExample();
    // The tree of the disk in a container, which ends with the status of what it runs.
    using tree = temporaryFolder();
    run("tar", ["--extract", "--same-owner", "--file", folder.join("bootable_1.tar"), "--directory", tree.path]);
    const container = ["--quiet", "--register=no", "--keep-unit", "--directory", tree.path, "--boot"];
    const { status, stdout } = tryRun("systemd-nspawn", [...container, "systemd.run=/bin/false"]);
    expect(status, stdout.toString()).toBe(1);
    expect(stdout.toString()).toContain("Detected virtualization systemd-nspawn");
    const root = `/dev/vda${partitions.findIndex(({ type }) => type === "root-x86-64") + 1}`;
    const efi = "/sys/firmware/efi/efivars";
    const questions = {
      state: "systemctl is-system-running --wait || systemctl --failed --no-legend --plain",
      root: "findmnt --noheadings --output SOURCE,FSTYPE --raw /",
      commandLine: "cat /proc/cmdline",
      loader: `cat ${efi}/LoaderInfo-* 2>/dev/null | tail -c +5 | tr -d '\\000'`,
      stub: `cat ${efi}/StubInfo-* 2>/dev/null | tail -c +5 | tr -d '\\000'`,
    };
    const common = { state: "running\n", root: `${root} ext4\n` };
    const expected = {
      uefi: {
        ...common,
        commandLine: expect.stringContaining("console=ttyS0"),
        loader: expect.stringContaining("systemd-boot 252"),
        stub: expect.stringContaining("systemd-stub 252"),
      },
      bios: {
        ...common,
        commandLine: expect.stringMatching(/^BOOT_IMAGE=.* root=PARTUUID=[0-9a-f-]{36} console=ttyS0 /),
        loader: "",
        stub: "",
      },
    };
    for (const firmware of ["uefi", "bios"] as const) {
      await using guest = boot(folder, `--firmware=${firmware}`);
      await guest.login("root", "secret");
      const found: Record<string, string> = {};
      for (const [name, command] of Object.entries(questions)) found[name] = (await guest.run(command)).output;
      expect(found).toEqual(expected[firmware]);
      await guest.powerOff();
    }
  },
);

test(
  "a signed disk with a verity-checked root boots under Secure Boot, and does not once a byte has changed",
  { tags: ["boot"] },
  async (context) => {
    needs(context);
    needPrograms(context, "mcopy", "sbattach");
    const { folder, image, partitions } = signedExample();
    const esp = new EspFiles(image, startOf(partitions, "esp"), folder);
    {
      await using guest = boot(folder);
      await guest.login("root", "secret");
      const secureBoot = await guest.run("tail --bytes=1 /sys/firmware/efi/efivars/SecureBoot-* | od -An -tu1");
      expect(secureBoot.output.trim()).toBe("1");
      const status = await guest.run("veritysetup status root");
      expect(status.output).toMatch(/status: +verified/);
      expect(status.output).toMatch(/data device: +\/dev\/vda2/);
      expect((await guest.run("findmnt --noheadings --output FSTYPE /")).output).toBe("overlay\n");
      const state = await guest.run("systemctl is-system-running --wait || systemctl --failed --no-legend --plain");
      expect(state.output).toBe("running\n");
      await guest.powerOff();
    }
    const loader = "EFI/BOOT/BOOTX64.EFI";
    {
      using _ = esp.changed(loader, (path) => run("sbattach", ["--remove", path]));
      await using guest = boot(folder);
      await guest.waitFor(/failed to load Boot0001.*Access Denied/);
    }
    const [kernel = ""] = esp.names("EFI/Linux");
    {
      using _ = esp.changed(`EFI/Linux/${kernel}`, changeRootHash);
      await using guest = boot(folder);
      await guest.waitFor(/Error loading .*\.efi: Access Denied/);
      // Firmware without keys takes those that the boot loader has beside it, and refuses the same from then on.
      writeFileSync(folder.join("mkosi.local.conf"), signedSettings.replace(trusted, ""));
      using _settings = esp.changed("loader/loader.conf", (path) => writeFileSync(path, "secure-boot-enroll force\n"));
      await using setupMode = boot(folder);
      await setupMode.waitFor(/Enrolling secure boot keys from directory/);
      await setupMode.waitFor(/Error loading .*\.efi: Access Denied/);
      writeFileSync(folder.join("mkosi.local.conf"), signedSettings);
    }
    using _ = flippedByte(image, startOf(partitions, "root-x86-64") + 1024);
    await using guest = boot(folder);
    await guest.waitFor(/verity: .*is corrupted/);
  },
);

test("a squashfs root is checked as one of erofs is: verified, or not booted", { tags: ["boot"] }, async (context) => {
  needs(context);
  using folder = temporaryFolder();
  const { image, partitions } = buildExample(folder, "verity", local, (place) => {
    for (const name of readdirSync(join(place, "mkosi.repart"))) {
      const path = join(place, "mkosi.repart", name);
      writeFileSync(path, readFileSync(path, "utf8").replace("Format=erofs", "Format=squashfs"));
    }
  });
  {
    await using guest = boot(folder);
    await guest.login("root", "secret");
    expect((await guest.run("veritysetup status root")).output).toMatch(/status: +verified/);
    expect((await guest.run("lsblk --noheadings --output FSTYPE /dev/mapper/root")).output).toBe("squashfs\n");
    await guest.powerOff();
  }
  // In the super block, which every mount reads.
  using _ = flippedByte(image, startOf(partitions, "root-x86-64") + 8);
  await using guest = boot(folder);
  await guest.waitFor(/verity: .*is corrupted/);
});

test(
  "an encrypted root opens with a credential, /home with what is typed; a service runs off another disk",
  { tags: ["boot"] },
  async (context) => {
    needs(context);
    using folder = temporaryFolder();
    writeFileSync(folder.join("mkosi.passphrase"), "correct horse", { mode: 0o600 });
    const encrypted = "[Content]\nPackages=cryptsetup\n[Partitions]\nEncrypt=all\nHomeSize=64M\n";
    const credential = '[Runtime]\nCredentials="cryptsetup.passphrase=correct horse"\n';
    buildExample(folder, "bootable", `${local}${encrypted}${credential}`);
    const other = signedExample();
    await using guest = boot(folder, "--", "-drive", `if=virtio,format=raw,snapshot=on,file=${other.image}`);
    await guest.waitFor(/Please enter passphrase for disk home/);
    guest.type("correct horse\n");
    await guest.login("root", "secret");
    const mounts = await guest.run("findmnt --noheadings --output TARGET,SOURCE,FSTYPE --real --list");
    expect(mounts.output).toMatch(/^\/ +\/dev\/mapper\/root +ext4$/m);
    expect((await guest.run("findmnt --noheadings --output SOURCE,FSTYPE /home")).output).toMatch(
      /^\/dev\/mapper\/home +ext4\n$/,
    );
    const status = await guest.run("cryptsetup status root && cryptsetup status home");
    expect(status.output.match(/type: +LUKS2/g)).toHaveLength(2);
    // A service off the other example's disk, which systemd takes apart and whose root it checks.
    const service = await guest.run(
      `systemd-run --wait --pipe --quiet --property=RootImage=/dev/vdb --property=RootHash=${other.rootHash ?? ""} ` +
        "sh -c '. /etc/os-release; echo $IMAGE_ID $(findmnt --noheadings --output FSTYPE /)'",
    );
    expect(service.output).toBe("verity erofs\n");
    expect((await guest.run("journalctl --dmesg --grep='device-mapper: verity' --quiet | wc -l")).output).toBe("1\n");
    const state = await guest.run("systemctl is-system-running --wait || systemctl --failed --no-legend --plain");
    expect(state.output).toBe("running\n");
    await guest.powerOff();
  },
);

test(
  "a published disk boots from a web server, off a block device whose chunks are fetched as they are read",
  { tags: ["boot"] },
  async (context) => {
    needs(context);
    using folder = temporaryFolder();
    const { image } = bootableExample();
    mkdirSync(folder.join("www"));
    run(imgtool, ["make", "--durable=no", folder.join("www/disk.caibx"), image]);
    const server = await serveDirectory(folder.join("www"));
    const device = spawn(imgtool, ["mkdev", `${server.url}disk.caibx`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const deviceEnded = once(device, "close");
    try {
      // The line that says where it is: from then on it answers.
      const [line] = (await once(device.stdout, "data")) as [Buffer];
      const uri = line.toString("utf8").trim();
      expect(uri).toMatch(/^nbd\+unix:/);
      const hardware = "-machine q35 -cpu max,-cx16 -smp 2 -m 1G -no-reboot -device virtio-rng-pci -nic none";
      const consoles = "-bios /usr/share/ovmf/OVMF.fd -nographic -serial stdio -monitor none";
      const drive = `file=${uri},format=raw,if=virtio,snapshot=on`;
      const machine = spawn("qemu-system-x86_64", [...hardware.split(" "), ...consoles.split(" "), "-drive", drive], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      const ended = once(machine, "close").then(([code]) => Number(code));
      await using guest = driveConsole({
        input: machine.stdin,
        output: machine.stdout,
        ended,
        kill: () => machine.kill("SIGKILL"),
      });
      await guest.login("root", "secret");
      const root = await guest.run("findmnt --noheadings --output FSTYPE /");
      expect(root.output).toBe("ext4\n");
      await guest.powerOff();
      // What the system has not looked at was never fetched.
      expect(server.statistics.requests).toBeGreaterThan(100);
      expect(server.statistics.bytes).toBeLessThan(statSync(image).size / 2);
    } finally {
      device.kill("SIGTERM");
      await deviceEnded;
      await server.close();
    }
  },
);

/** The files of an ESP in a disk image, by mtools. */
class EspFiles {
  readonly #place: string;
  readonly #folder: TemporaryFolder;

  constructor(image: string, offset: number, folder: TemporaryFolder) {
    this.#place = `${image}@@${offset}`;
    this.#folder = folder;
  }

  names(path: string): string[] {
    const listed = run("mdir", ["-b", "-i", this.#place, `::/${path}`]);
    return listed
      .trim()
      .split("\n")
      .map((line) => basename(line));
  }

  /** Changes a file, and brings the former one back when it is disposed of. */
  changed(path: string, change: (copy: string) => unknown): Disposable {
    const [former, copy] = [this.#folder.join("former"), this.#folder.join("changed")].map(
      (name) => `${name}-${basename(path)}`,
    ) as [string, string];
    run("mcopy", ["-n", "-i", this.#place, `::/${path}`, former]);
    cpSync(former, copy);
    change(copy);
    this.#put(copy, path);
    return { [Symbol.dispose]: () => this.#put(former, path) };
  }

  #put(file: string, path: string): void {
    run("mcopy", ["-o", "-i", this.#place, file, `::/${path}`]);
  }
}

function startOf(partitions: readonly Partition[], wanted: string): number {
  const found = partitions.find(({ type }) => type === wanted);
  if (found === undefined) throw new Error(`no partition ${wanted}`);
  return found.offset;
}

/** In the kernel's command line: what an attacker would change. */
function changeRootHash(path: string): void {
  const bytes = readFileSync(path);
  flippedByte(path, bytes.indexOf("roothash=") + "roothash=".length);
}

/** A byte with another lowest bit, until it is disposed of. */
function flippedByte(path: string, offset: number): Disposable {
  const flip = (): void => {
    const file = openSync(path, "r+");
    const byte = Buffer.alloc(1);
    readSync(file, byte, 0, 1, offset);
    byte.writeUInt8(byte.readUInt8(0) ^ 1);
    writeSync(file, byte, 0, 1, offset);
    closeSync(file);
  };
  flip();
  return { [Symbol.dispose]: flip };
}
