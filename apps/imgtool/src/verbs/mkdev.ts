/**
 * `imgtool mkdev`: a published image as a network block device; chunks are fetched as they are read.
 * @module
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { ConfigError, formatSize } from "@imgtool/core";
import { runTool } from "@imgtool/host";
import { isHttpUrl, shownLocation } from "@imgtool/store";
import type { Command } from "commander";
import { addNetworkOptions, addStoreOptions } from "../chunk-options.ts";
import { addImageOptions, type ImageOptions, openImage } from "../open-image.ts";
import { portNumber } from "../parse.ts";
import { runVerb, verbCommand } from "../verb.ts";

interface MkdevOptions extends ImageOptions {
  readonly socket?: string;
  readonly port?: number;
  readonly host: string;
}

const examples = `
Examples:
  imgtool mkdev http://example.org/disk.caibx             prints an nbd:// URI to open
  imgtool mkdev --socket=disk.sock disk.caibx             qemu-img info 'nbd+unix:///?socket=disk.sock'
  imgtool mkdev disk.caibx /dev/nbd0                      a device of the kernel, with nbd-client`;

export function command(): Command {
  const mkdev = verbCommand("mkdev", "Open a published image as a block device until Ctrl-C, without extracting it.")
    .argument("<index>", "the .caibx, a path or a URL")
    .argument("[device]", "a device of the kernel's nbd module to attach, such as /dev/nbd0")
    .option("--socket <path>", "Unix socket to listen on. Default: a new one")
    .option("--port <number>", "port to listen on instead, 0 for any free one", portNumber)
    .option("--host <address>", "address to listen on with --port", "127.0.0.1")
    .addHelpText("after", examples);
  addImageOptions(addNetworkOptions(addStoreOptions(mkdev)));
  return mkdev.action((location: string, device: string | undefined) =>
    runVerb(mkdev, async ({ reporter, signal }) => {
      const options = mkdev.opts<MkdevOptions>();
      if (device !== undefined && !existsSync(device)) {
        throw new ConfigError(`there is no device ${device}`, {
          code: "device-missing",
          hint: "modprobe nbd makes /dev/nbd0 and others where the kernel has the module; without a device, the image is served to programs that speak NBD, such as qemu",
          data: { device },
        });
      }
      const { serveBlockDevice } = await import("@imgtool/mount");
      await using opened = await openImage(location, options, reporter, signal);
      const { image } = opened;
      using folder = new DisposableStack();
      const socket = (): string => {
        const path = mkdtempSync(join(tmpdir(), "imgtool-nbd-"));
        folder.defer(() => rmSync(path, { recursive: true, force: true }));
        return join(path, "socket");
      };
      await using server = await serveBlockDevice({
        image,
        name: exportName(location),
        listen:
          options.port === undefined
            ? { path: options.socket ?? socket() }
            : { host: options.host, port: options.port },
        onError: (message) => reporter.log("warning", message),
        signal,
      });
      if (device !== undefined) {
        await runTool("nbd-client", [...clientAddress(server.uri), device], { signal });
        reporter.result({ uri: server.uri, device, size: image.size }, `${device}  ${formatSize(image.size)}`);
      } else reporter.result({ uri: server.uri, size: image.size }, server.uri);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      if (device !== undefined) await runTool("nbd-client", ["-d", device]);
    }),
  );
}

/** What clients are told that the image is called: of a URL, without what may be secret in it. */
function exportName(location: string): string {
  const name = basename(shownLocation(location)).replace(/\.caibx$/, "");
  try {
    return isHttpUrl(location) ? decodeURIComponent(name) : name;
  } catch {
    return name;
  }
}

/** What nbd-client calls the address in a URI. */
function clientAddress(uri: string): readonly string[] {
  const { protocol, hostname, port, searchParams, pathname } = new URL(uri);
  const name = ["-N", decodeURIComponent(pathname.slice(1)), "-R"];
  if (protocol === "nbd+unix:") return ["-unix", searchParams.get("socket") ?? "", ...name];
  return [hostname, port, ...name];
}
