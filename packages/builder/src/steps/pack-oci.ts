/**
 * Packs a tree as an image of the Open Container Initiative: a folder in the form of an image layout with
 * one layer (opencontainers/image-spec v1.1, image-layout.md, config.md, manifest.md).
 * @module
 */
import { createHash } from "node:crypto";
import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestFile } from "@imgtool/host";
import type { Compression, ImageConfig } from "@imgtool/config";
import type { BuildContext } from "../context.ts";
import { compressFile } from "./compress.ts";
import { packTar } from "./pack-tar.ts";

/** GOARCH and its variant for systemd's architectures. */
const architectures: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  "x86-64": ["amd64"],
  x86: ["386"],
  arm: ["arm", "v7"],
  arm64: ["arm64", "v8"],
  loongarch64: ["loong64"],
  "mips64-le": ["mips64le"],
  "mips-le": ["mipsle"],
  ppc64: ["ppc64"],
  "ppc64-le": ["ppc64le"],
  riscv64: ["riscv64"],
  s390x: ["s390x"],
};

/** Endings of a layer's media type by compression; the specification has no others. */
export const layerSuffix: Readonly<Partial<Record<Compression, string>>> = { none: "", gzip: "+gzip", zstd: "+zstd" };

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** Makes the layout in `folder`, which must not exist. */
export async function packOci(context: BuildContext, folder: string): Promise<void> {
  const { config, workspace } = context;
  const blobs = join(folder, "blobs/sha256");
  await mkdir(blobs, { recursive: true, mode: 0o755 });
  const tar = join(workspace, "layer.tar");
  await packTar({ ...context, output: tar });
  const diffId = `sha256:${await digestFile(tar)}`;
  const packed = config.compressOutput === "none" ? tar : join(workspace, "layer");
  await compressFile({
    source: tar,
    target: packed,
    compression: config.compressOutput,
    level: config.compressLevel,
    progress: context.progress,
    signal: context.signal,
  });
  const layer: Descriptor = {
    mediaType: `application/vnd.oci.image.layer.v1.tar${layerSuffix[config.compressOutput]}`,
    digest: `sha256:${await digestFile(packed)}`,
    size: (await stat(packed)).size,
  };
  await rename(packed, join(blobs, layer.digest.slice("sha256:".length)));

  const put = async (mediaType: string, value: unknown): Promise<Descriptor> => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = createHash("sha256").update(bytes).digest("hex");
    await writeFile(join(blobs, digest), bytes, { mode: 0o644 });
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  };
  const annotations = imageAnnotations(config);
  const manifest = await put("application/vnd.oci.image.manifest.v1+json", {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: await put("application/vnd.oci.image.config.v1+json", imageConfiguration(config, diffId)),
    layers: [layer],
    annotations,
  });
  const index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        ...manifest,
        platform: platform(config),
        ...(config.imageVersion === undefined
          ? {}
          : { annotations: { "org.opencontainers.image.ref.name": config.imageVersion } }),
      },
    ],
  };
  await writeFile(join(folder, "index.json"), JSON.stringify(index), { mode: 0o644 });
  await writeFile(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }), { mode: 0o644 });
}

function imageConfiguration(config: ImageConfig, diffId: string): unknown {
  const created = new Date(config.sourceDateEpoch * 1000).toISOString();
  return {
    created,
    ...platform(config),
    config: {
      // A whole system: its init, which ends at the signal that systemd(1) takes for a halt.
      Cmd: ["/sbin/init"],
      StopSignal: "SIGRTMIN+3",
      ...(Object.keys(config.ociLabels).length === 0 ? {} : { Labels: sorted(config.ociLabels) }),
    },
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created, created_by: "imgtool" }],
  };
}

function imageAnnotations(config: ImageConfig): Record<string, string> {
  return sorted({
    "org.opencontainers.image.created": new Date(config.sourceDateEpoch * 1000).toISOString(),
    ...(config.imageId === undefined ? {} : { "org.opencontainers.image.title": config.imageId }),
    ...(config.imageVersion === undefined ? {} : { "org.opencontainers.image.version": config.imageVersion }),
    ...config.ociAnnotations,
  });
}

function platform({ architecture }: ImageConfig): { architecture: string; os: string; variant?: string } {
  const [name = architecture, variant] = architectures[architecture] ?? [];
  return { architecture: name, os: "linux", ...(variant === undefined ? {} : { variant }) };
}

function sorted(fields: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}
