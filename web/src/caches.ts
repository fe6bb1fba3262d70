/** Names of caches. All pages of a host share its caches, so each name begins with the folder of this page. */

/** @param page - an address in the folder of the page, such as the scope of its service worker */
function nameIn(page: string, name: string): string {
  return `${new URL(".", page).pathname} ${name}`; // no path has a space, so none begins with that of another folder
}

/** For the large files: WebAssembly and networks. Their names have a checksum, so they stay valid in the next version. */
export const largeCache = (page: string) => nameIn(page, "large");

/** For all other files, of one version. Without a version, what the names of all versions begin with. */
export const shellCache = (page: string, version = "") => nameIn(page, `shell-${version}`);
