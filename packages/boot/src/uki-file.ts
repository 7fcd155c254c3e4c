/**
 * Writes unified kernel images from files: whatever their size, in memory are the stub and the kernel.
 * @module
 */
import { readFile } from "node:fs/promises";
import { encodePem, type Signer } from "@imgtool/cms";
import { measuredSections, signPcrPolicies, type MeasuredSection } from "./pcr-signature.ts";
import { digestContent, writeSections, type SectionContent, type SectionSource } from "./section-file.ts";
import { formatProfile, mainProfile, type UkiProfile } from "./uki-profile.ts";
import { isNxCompatible, ukiSbatSection, ukiSectionNames } from "./uki.ts";

export interface WriteUkiOptions {
  /** Path of the image; whatever is there is replaced. Removed again after an error. */
  readonly output: string;
  /** Path of systemd-stub. */
  readonly stub: string;
  /** Path of the kernel. */
  readonly linux: string;
  /** Paths of initrds, joined in this order, each on a grain of four bytes. */
  readonly initrds: readonly string[];
  /** Content of os-release(5). */
  readonly osRelease: string;
  readonly commandLine?: string;
  /** The kernel's version, as `uname -r` prints it. */
  readonly uname?: string;
  /** Paths of a device tree, a picture (BMP), and a CPU microcode archive. */
  readonly devicetree?: string;
  readonly splash?: string;
  readonly microcode?: string;
  /** Further ways to boot the image, which stubs from systemd 257 on offer. */
  readonly profiles?: readonly UkiProfile[];
  /** Signs the measurements that are expected of the image and of each of its profiles. */
  readonly pcrSigner?: Signer | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes an image; returns its size in bytes.
 * @throws as layoutUki and formatProfile; EnvironmentError `file-changed` when a part changes while it is copied
 */
export async function writeUki(options: WriteUkiOptions): Promise<{ size: number }> {
  const { profiles = [], pcrSigner, signal } = options;
  const stub = await readFile(options.stub);
  const linux = await readFile(options.linux);
  const contents: Readonly<Record<string, SectionContent | undefined>> = {
    ".osrel": text(options.osRelease),
    ".cmdline": commandLine(options.commandLine),
    ".dtb": file(options.devicetree),
    ".uname": text(options.uname),
    ".splash": file(options.splash),
    ".pcrpkey": pcrSigner === undefined ? undefined : text(encodePem("PUBLIC KEY", pcrSigner.certificate.publicKey)),
    ".linux": linux,
    ".initrd": options.initrds.length === 0 ? undefined : options.initrds,
    ".ucode": file(options.microcode),
    ".sbat": ukiSbatSection(stub, linux),
    ".profile": profiles.length === 0 ? undefined : text(mainProfile),
  };
  const base = ukiSectionNames.flatMap((name): SectionSource[] => {
    const content = contents[name];
    return content === undefined ? [] : [{ name, content }];
  });
  // What follows a section .profile is that profile's own.
  const own = profiles.map(({ properties, ...profile }) => {
    const command = commandLine(profile.commandLine);
    return [
      { name: ".profile", content: text(formatProfile(properties)) },
      ...(command === undefined ? [] : [{ name: ".cmdline", content: command }]),
    ];
  });
  const groups = [base, ...own];
  const signed = [true, ...profiles.map(({ signExpectedPcr: wanted = true }) => wanted)];
  const signatures = pcrSigner === undefined ? [] : await signGroups(groups, pcrSigner, signal);
  const sections = groups.flatMap((group, index) => {
    const signature = signed[index] === true ? signatures[index] : undefined;
    return signature === undefined ? group : [...group, { name: ".pcrsig", content: signature }];
  });
  return await writeSections({
    output: options.output,
    stub,
    sections,
    nxCompatible: isNxCompatible(linux),
    signal,
  });
}

/** The signed policies for the image itself and for each profile, which has what it lacks from the image. */
async function signGroups(
  groups: readonly (readonly SectionSource[])[],
  signer: Signer,
  signal: AbortSignal | undefined,
): Promise<Uint8Array[]> {
  let base: readonly MeasuredSection[] = [];
  const signatures: Uint8Array[] = [];
  for (const group of groups) {
    const own: MeasuredSection[] = [];
    for (const { name, content } of group)
      if (measuredSections.includes(name)) own.push({ name, digest: await digestContent(content, signal) });
    // The profile's own come first, and the first of a name counts.
    signatures.push(signPcrPolicies([...own, ...base], signer));
    if (base.length === 0) base = own;
  }
  return signatures;
}

/** Stubs before systemd 252 read on to a NUL. */
function commandLine(value: string | undefined): Uint8Array | undefined {
  return value === undefined ? undefined : text(`${value}\0`);
}

function text(value: string): Uint8Array;
function text(value: string | undefined): Uint8Array | undefined;
function text(value: string | undefined): Uint8Array | undefined {
  return value === undefined ? undefined : new TextEncoder().encode(value);
}

function file(path: string | undefined): SectionContent | undefined {
  return path === undefined ? undefined : [path];
}
