/**
 * What the archives have now for an image and for its initrd: asked for once in a build.
 * @module
 */
import { NotFoundError } from "@imgtool/core";
import { initrdPackages } from "../boot/initrd-packages.ts";
import type { BuildContext } from "../context.ts";
import { installOptions } from "../install-options.ts";
import { digestText } from "./digests.ts";

/** Digests of the packages that would be installed. */
export interface Fingerprints {
  readonly image: string;
  readonly initrd: string;
  /** Of BuildPackages= and VolatilePackages=, which are no part of the cached tree. */
  readonly further: string;
}

/** The digest of the image's packages with those that its prepare scripts ask for, whatever these bring. */
export async function treeFingerprint(
  context: BuildContext,
  scriptPackages: readonly string[],
): Promise<string | undefined> {
  const all = await fingerprints(context);
  if (all === undefined || scriptPackages.length === 0) return all?.image;
  const { config, distribution } = context;
  const lists = [[...config.packages, ...scriptPackages]];
  try {
    const [digest] = (await distribution.fingerprint?.(await installOptions(context), lists)) ?? [];
    return digest === undefined ? undefined : digestText(`${all.image} ${digest}`);
  } catch (error) {
    // One that the archive no longer has: the cached tree is not what the script would make now.
    if (error instanceof NotFoundError) return digestText(`${all.image} ${error.message}`);
    throw error;
  }
}

/** Undefined for a distribution that cannot tell whether its repositories have changed. */
export async function fingerprints(context: BuildContext): Promise<Fingerprints | undefined> {
  context.fingerprints ??= ask(context);
  return await context.fingerprints;
}

async function ask(context: BuildContext): Promise<Fingerprints | undefined> {
  const { config, distribution } = context;
  if (context.locked !== undefined) {
    // Nothing else can be installed, whatever the archives have.
    const { packages, initrd, build, volatile } = context.locked;
    return {
      image: digestText(JSON.stringify(packages)),
      initrd: digestText(JSON.stringify(config.makeInitrd ? packages : initrd)),
      further: digestText(JSON.stringify([build, volatile])),
    };
  }
  const own = [config.packages, config.makeInitrd ? config.packages : initrdPackages(config)];
  const further = [config.buildPackages, config.volatilePackages].filter((packages) => packages.length > 0);
  const lists = [...own, ...further.map((packages) => [...config.packages, ...packages])];
  const digests = await distribution.fingerprint?.(await installOptions(context), lists);
  const [image, initrd, ...others] = digests ?? [];
  if (image === undefined || initrd === undefined) return undefined;
  return { image, initrd, further: others.join(" ") };
}
