/**
 * Writes one unified kernel image as the project wants it: with its profiles, microcode, signatures.
 * @module
 */
import { chmod, readFile } from "node:fs/promises";
import { basename } from "node:path";
import { signPeFile, stubVersion, writeUki, type UkiProfile } from "@imgtool/boot";
import { compareVersions, type ImageConfig } from "@imgtool/config";
import { ConfigError, formatSize, silentProgress } from "@imgtool/core";
import type { BuildContext } from "../context.ts";
import { pcrSigner, secureBootSigner } from "../signers.ts";
import { readTreeFile } from "../tree-file.ts";
import type { Kernel } from "./kernels.ts";

/** What an image is made of; all paths on this machine. */
export interface UnifiedParts {
  readonly stub: string;
  readonly kernel: Kernel;
  readonly initrds: readonly string[];
  readonly microcode: string | undefined;
  readonly commandLine: string;
}

/**
 * Writes the image to `output`, readable for its owner alone.
 * @throws ConfigError `stub-too-old`, `pe-signed` and what writeUki throws
 */
export async function writeUnifiedImage(
  { config, tree, progress, signal }: BuildContext,
  { stub, kernel, initrds, microcode, commandLine }: UnifiedParts,
  output: string,
): Promise<void> {
  using task = progress.start({ label: `write ${basename(output)}` });
  const version = stubVersion(await readFile(stub));
  const atLeast = (wanted: string): boolean => version !== undefined && compareVersions(version, wanted) >= 0;
  // Older stubs would take another profile's command line for that of the image.
  if (config.unifiedKernelImageProfiles.length > 0 && !atLeast("257"))
    throw new ConfigError(
      `UnifiedKernelImageProfiles= needs the stub of systemd 257, found ${version ?? "that of a version before 254"}`,
      { code: "stub-too-old", hint: "build with a newer release of the distribution", data: { version } },
    );
  // Stubs that do not know the section .ucode have it as the first initrd.
  const apart = atLeast("256");
  const { size } = await writeUki({
    output,
    stub,
    linux: kernel.image,
    initrds: microcode === undefined || apart ? initrds : [microcode, ...initrds],
    osRelease: (await readTreeFile(tree, "usr/lib/os-release")) ?? (await readTreeFile(tree, "etc/os-release")) ?? "",
    ...(commandLine === "" ? {} : { commandLine }),
    uname: kernel.version,
    ...(config.splash === undefined ? {} : { splash: config.splash }),
    ...(kernel.devicetree === undefined ? {} : { devicetree: kernel.devicetree }),
    ...(microcode !== undefined && apart ? { microcode } : {}),
    profiles: profilesOf(config, commandLine),
    pcrSigner: await pcrSigner(config, silentProgress),
    signal,
  });
  const signer = await secureBootSigner(config, silentProgress);
  if (signer !== undefined) await signPeFile(output, { signer, signal });
  await chmod(output, 0o600);
  task.done(formatSize(size));
}

/** What profiles name is added to the image's own command line. */
function profilesOf({ unifiedKernelImageProfiles }: ImageConfig, commandLine: string): UkiProfile[] {
  return unifiedKernelImageProfiles.map(({ properties, signExpectedPcr, commandLine: own }) => ({
    properties,
    signExpectedPcr,
    ...(commandLine === "" && own.length === 0 ? {} : { commandLine: [commandLine, ...own].join(" ").trimStart() }),
  }));
}
