/**
 * The resolved configuration of one image: complete, frozen, plain JSON. Everything after `config`
 * works from this object alone. Names are mkosi's setting names in camelCase.
 * @module
 */

export type OutputFormat =
  | "disk"
  | "directory"
  | "tar"
  | "cpio"
  | "uki"
  | "esp"
  | "addon"
  | "oci"
  | "sysext"
  | "confext"
  | "portable"
  | "none";
/** Extensions of other systems, and services that are run off an image: a root and what verifies it. */
export type ExtensionFormat = Extract<OutputFormat, "sysext" | "confext" | "portable">;
export type RootFilesystem = "ext4" | "btrfs" | "xfs" | "squashfs" | "erofs";
export type Compression = "none" | "zstd" | "xz" | "gzip" | "bz2" | "lz4" | "lzma";

/** A tree to copy into the image: `source` on this machine to the absolute path `target` in the image. */
export interface TreeSource {
  readonly source: string;
  readonly target: string;
}

/** A setting that may leave the decision to the build. */
export type Feature = "enabled" | "disabled" | "auto";

/** A further way to boot a unified kernel image. */
export interface UkiProfileConfig {
  /** `ID`, `TITLE` and the like. */
  readonly properties: Readonly<Record<string, string>>;
  /** Added to KernelCommandLine=. */
  readonly commandLine: readonly string[];
  /** Whether its expected measurements are signed, when the image's are. */
  readonly signExpectedPcr: boolean;
}

/** ToolsTree=default: a tree that is built before the image. */
export interface ToolsTreeConfig {
  readonly distribution: string;
  readonly release: string;
  readonly mirror: string | undefined;
  readonly repositories: readonly string[];
  readonly sandboxTrees: readonly TreeSource[];
  /** Besides those that hold the programs that imgtool runs. */
  readonly packages: readonly string[];
  readonly packageDirectories: readonly string[];
}

export interface ImageConfig {
  /** The project directory, absolute. */
  readonly directory: string;
  /** Name of the image among mkosi.images/; undefined for the project's main one. */
  readonly subImage: string | undefined;
  /** Every configuration file that was read, absolute, in order. */
  readonly files: readonly string[];

  readonly distribution: string;
  readonly release: string;
  /** systemd's architecture name: x86-64, arm64, … */
  readonly architecture: string;
  readonly mirror: string | undefined;
  readonly repositories: readonly string[];
  readonly localMirror: string | undefined;
  readonly snapshot: string | undefined;
  readonly repositoryKeyCheck: boolean;
  readonly repositoryKeyFetch: boolean;
  /** Configuration and keys of the package manager, in folders laid over each other. */
  readonly sandboxTrees: readonly TreeSource[];

  readonly format: OutputFormat;
  /** The file that a disk is in. */
  readonly diskFile: "raw" | "qcow2" | "vmdk" | "vhdx";
  /** Root file system of a disk whose project has no partition definitions. */
  readonly rootFilesystem: RootFilesystem;
  /** Sizes of partitions of a disk without partition definitions, in bytes; undefined for the default or none. */
  readonly partitionSizes: Readonly<Record<"root" | "esp" | "swap" | "home" | "srv", number | undefined>>;
  /** The root partition of such a disk is marked read-only. */
  readonly readOnly: boolean;
  /** Whether a disk gets dm-verity partitions: none but those that are defined, a hash tree, one that is signed, or one with room for a signature. */
  readonly verity: "no" | "hash" | "signed" | "defer";
  /** Files of the key and certificate that sign root hashes. */
  readonly verityKey: string | undefined;
  readonly verityCertificate: string | undefined;
  /** What is encrypted of a disk without partition definitions: /home and /srv, or all but what boots it. */
  readonly encrypt: "none" | "data" | "all";
  /** File with the passphrase of encrypted partitions. */
  readonly passphraseFile: string | undefined;
  /** Name of the outputs, without folder and extension. */
  readonly output: string;
  /** Absolute. */
  readonly outputDirectory: string;
  /** Access mode of the outputs that are files; undefined: as the umask has it. */
  readonly outputMode: number | undefined;
  readonly compressOutput: Compression;
  readonly compressLevel: number;
  readonly imageId: string | undefined;
  readonly imageVersion: string | undefined;
  /** UUID text; all identifiers of the image derive from it. */
  readonly seed: string;
  /** Bytes of a disk's sectors, where they are asked for; 512 otherwise. */
  readonly sectorSize: number | undefined;
  readonly repartDirectories: readonly string[];
  readonly checksum: boolean;
  /** Whether SHA256SUMS is signed with OpenPGP, with this key of the user's (default: the first). */
  readonly sign: boolean;
  readonly openPgpKey: string | undefined;
  /** Parts of the image to write as files of their own. */
  readonly splitArtifacts: readonly string[];
  readonly ociLabels: Readonly<Record<string, string>>;
  readonly ociAnnotations: Readonly<Record<string, string>>;
  readonly manifestFormat: readonly string[];

  readonly packages: readonly string[];
  /** Packages that build scripts see, and the image does not get. */
  readonly buildPackages: readonly string[];
  /** Packages that are installed after the build scripts, and never kept with the cached tree. */
  readonly volatilePackages: readonly string[];
  /** Folders with package files that come before the archives'. */
  readonly packageDirectories: readonly string[];
  /** As `packageDirectories`, for what is installed after the build scripts. */
  readonly volatilePackageDirectories: readonly string[];
  readonly removePackages: readonly string[];
  readonly removeFiles: readonly string[];
  readonly withRecommends: boolean;
  readonly withDocs: boolean;
  readonly cleanPackageMetadata: boolean;
  /** Folders, archives and images that the tree begins with; packages are installed on top. */
  readonly baseTrees: readonly string[];
  /** The image gets only what is not in the base trees. */
  readonly overlay: boolean;
  readonly skeletonTrees: readonly TreeSource[];
  readonly extraTrees: readonly TreeSource[];
  /** Absolute paths, in the order they run. A name that ends in `.chroot` runs inside the image. */
  readonly configureScripts: readonly string[];
  readonly syncScripts: readonly string[];
  readonly prepareScripts: readonly string[];
  readonly buildScripts: readonly string[];
  readonly postInstallationScripts: readonly string[];
  readonly finalizeScripts: readonly string[];
  readonly postOutputScripts: readonly string[];
  readonly cleanScripts: readonly string[];
  /**
   * The project has mkosi.default, and its scripts are those of mkosi up to 14: prepare, build and post-installation
   * scripts run inside the image, and the last in the tree that is built in, too, with the word `build`.
   */
  readonly scriptsOfFirstMkosi: boolean;

  /** Settings of systemd-nspawn that go with the image. Absolute. */
  readonly nspawnSettings: string | undefined;

  /** Whether boot loader and kernels are signed, with the key and certificate in these files. */
  readonly secureBoot: boolean;
  readonly secureBootKey: string | undefined;
  readonly secureBootCertificate: string | undefined;
  /** Whether the boot loader finds the certificate's keys on the ESP, to enroll them in firmware in setup mode. */
  readonly secureBootAutoEnroll: boolean;
  /** What signs the TPM measurements of unified kernel images; undefined where they are not signed. */
  readonly signExpectedPcr: { readonly key: string; readonly certificate: string } | undefined;
  readonly bootable: Feature;
  readonly bootloader: "none" | "uki" | "systemd-boot" | "grub";
  /** Whether the boot loader is the one that the distribution has signed, as it is in the image's packages. */
  readonly signedBootloader: boolean;
  readonly biosBootloader: "none" | "grub";
  /** Shim before the boot loader: with the distribution's signature, or signed with the project's key. */
  readonly shimBootloader: "none" | "signed" | "unsigned";
  /** "signed": those that the distribution has built and signed, as they are in the image's packages. */
  readonly unifiedKernelImages: Feature | "signed";
  /** Name of unified kernel images without `.efi`, with mkosi's `&e`, `&k`, `&h` and `&c` in it. */
  readonly unifiedKernelImageFormat: string | undefined;
  readonly unifiedKernelImageProfiles: readonly UkiProfileConfig[];
  /** Paths of initrds that take the place of the one that is built. */
  readonly initrds: readonly string[];
  /** Packages of the initrd that is built, besides the usual ones. */
  readonly initrdPackages: readonly string[];
  /** Those that every build shall take anew. */
  readonly initrdVolatilePackages: readonly string[];
  readonly kernelCommandLine: readonly string[];
  /**
   * Regular expressions for paths below `/usr/lib/modules/VERSION/kernel/`: after a `-` they leave out, else
   * they keep, the last that matches decides. What none matches is kept when the first one leaves out.
   */
  readonly kernelModules: readonly string[];
  /** As `kernelModules`, for the initrd's. */
  readonly kernelInitrdModules: readonly string[];
  /** Whether the kernel's modules go into an initrd of their own beside the others. */
  readonly kernelModulesInitrd: boolean;
  /** Patterns of firmware files that stay in the image besides those that its modules need; none keeps all. */
  readonly firmwareFiles: readonly string[];
  /** Path of a device tree in the folder of each kernel's: `broadcom/bcm2711-rpi-4-b.dtb`. */
  readonly devicetree: string | undefined;
  /** Path of a picture (BMP). */
  readonly splash: string | undefined;
  /** The image itself is an initrd. */
  readonly makeInitrd: boolean;

  /** Seconds since 1970 that every time stamp is clamped to. */
  readonly sourceDateEpoch: number;

  /** Whether trees with their packages are kept for the next build; "strict" uses nothing else. */
  readonly incremental: "yes" | "no" | "strict";
  /** What package managers may not ask the network for. */
  readonly cacheOnly: "nothing" | "metadata" | "everything";
  readonly cacheDirectory: string | undefined;
  /** Where the cached trees are kept for other machines, too: a path or a URL. From imgtool.conf. */
  readonly cacheStore: string | undefined;
  readonly packageCacheDirectory: string | undefined;
  /** Tree whose programs take the place of this machine's: a path, or what to build it of. */
  readonly toolsTree: string | ToolsTreeConfig | undefined;
  /** Whether programs see that tree's certificates. */
  readonly toolsTreeCertificates: boolean;
  /** Whether trees are btrfs subvolumes; "auto": where the file system has them. */
  readonly useSubvolumes: Feature;
  readonly workspaceDirectory: string | undefined;
  readonly environment: Readonly<Record<string, string>>;
  readonly withNetwork: boolean;
  /** URL of a proxy for all that is downloaded. */
  readonly proxyUrl: string | undefined;
  /** Names of hosts that are reached without it. */
  readonly proxyExclude: readonly string[];
  /** Folders in which programs are looked for first. */
  readonly extraSearchPaths: readonly string[];
  readonly withTests: boolean;
  readonly profiles: readonly string[];
  /** Folders of this machine that scripts see, at absolute paths below their source folder. */
  readonly buildSources: readonly TreeSource[];
  /** What scripts write to the sources is thrown away. */
  readonly buildSourcesEphemeral: boolean;
  /** Of a build source that is a git checkout, scripts do not see what git ignores. */
  readonly useGitFiles: boolean;
  /** Where build scripts keep objects from build to build; each distribution, release and architecture has a folder in it. */
  readonly buildDirectory: string | undefined;

  readonly hostname: string | undefined;
  readonly timezone: string | undefined;
  readonly locale: string | undefined;
  readonly localeMessages: string | undefined;
  readonly keymap: string | undefined;
  /** Path of the shell in the image. */
  readonly rootShell: string | undefined;
  /** UUID text; undefined where every machine makes one of its own at its first boot. */
  readonly machineId: string | undefined;
  /** Whether consoles log in as root without a password. */
  readonly autologin: boolean;
  /** Whether the image offers SSH to the host of its virtual machine, over VSOCK. */
  readonly ssh: boolean;
  readonly selinuxRelabel: Feature;
  /** Plain, or a crypt(5) hash after the prefix `hashed:`. */
  readonly rootPassword: string | undefined;
}
