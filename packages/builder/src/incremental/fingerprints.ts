/**
 * What the archives have now for an image and for its initrd: asked for once in a build.
 * @module
 */
import { initrdPackages } from "../boot/initrd-packages.ts";
import type { BuildContext } from "../context.ts";
import { installOptions } from "../install-options.ts";
import { lockedPackages } from "../lock-file.ts";
import { digestText } from "./digests.ts";

/** Digests of the packages that would be installed. */
export interface Fingerprints {
  readonly image: string;
  readonly initrd: string;
}

/** Undefined for a distribution that cannot tell whether its repositories have changed. */
export async function fingerprints(context: BuildContext): Promise<Fingerprints | undefined> {
  context.fingerprints ??= ask(context);
  return await context.fingerprints;
}

async function ask(context: BuildContext): Promise<Fingerprints | undefined> {
  const { config, distribution } = context;
  const locked = await lockedPackages(config);
  if (locked !== undefined) {
    // Nothing else can be installed, whatever the archives have.
    const initrd = config.makeInitrd ? locked : await lockedPackages({ ...config, makeInitrd: true });
    return { image: digestText(JSON.stringify(locked)), initrd: digestText(JSON.stringify(initrd)) };
  }
  const lists = config.makeInitrd ? [config.packages] : [config.packages, initrdPackages(config)];
  const [image, initrd] = (await distribution.fingerprint?.(await installOptions(context), lists)) ?? [];
  return image === undefined ? undefined : { image, initrd: initrd ?? image };
}
