/**
 * The manifest, `<output>.manifest`: the packages of an image, in the form of mkosi's
 * (ManifestFormat=json, manifest_version 1), which its tools and others read.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import type { InstalledPackage, PackageType } from "@imgtool/distro";

/** The manifest's text. */
export function formatManifest(config: ImageConfig, type: PackageType, packages: readonly InstalledPackage[]): string {
  const manifest = {
    manifest_version: 1,
    config: {
      name: config.imageId ?? "image",
      distribution: config.distribution,
      architecture: config.architecture,
      ...(config.imageVersion === undefined ? {} : { version: config.imageVersion }),
      release: config.release,
    },
    packages: packages.map(({ name, version, architecture }) => ({ type, name, version, architecture })),
  };
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}
