/** Storage SOP classes (PS3.4, annex B.5), by what follows the root that they share. */

const ROOT = "1.2.840.10008.5.1.4.1.1.";

/** Classes of images that a PACS may hold. */
const IMAGES =
  "1 1.1 1.1.1 1.2 1.2.1 1.3 1.3.1 2 2.1 2.2 3.1 4 4.1 4.3 4.4 6.1 6.2 7 7.1 7.2 7.3 7.4 12.1 12.1.1 12.2 12.2.1 13.1.1 13.1.2 13.1.3 13.1.4 13.1.5 14.1 14.2 20 77.1.1 77.1.2 77.1.3 77.1.4 77.1.5.1 77.1.5.2 77.1.5.4 128 128.1 130 481.1";

/** Those of which a PACS holds most, and often compressed: CR, DX, MG, CT, MR, US, secondary captures, XA, PET. */
const FREQUENT_IMAGES = "1 1.1 1.1.1 1.2 2 4 6.1 7 12.1 128";

/** What lies beside images in a study: reports, presentation states, key objects, documents, plans, segmentations. */
const COMPANIONS = "11.1 66 66.4 88.11 88.22 88.33 88.59 88.67 104.1 481.2 481.3 481.5";

/** Groups of classes without images; here segmentations and dose grids are none. */
const WITHOUT_IMAGE = /^(4\.2|9|11|34|66|67|68|78|79|80|81|82|88|90|91|104|131|200|481(?!\.1$))(\.|$)/;

const uids = (suffixes: string): readonly string[] => suffixes.split(" ").map((suffix) => ROOT + suffix);

export const IMAGE_CLASSES = uids(IMAGES);
export const FREQUENT_IMAGE_CLASSES = uids(FREQUENT_IMAGES);
export const COMPANION_CLASSES = uids(COMPANIONS);

export const isStorageClass = (uid: string): boolean => uid.startsWith(ROOT);

/** Whether objects of a storage class may hold an image. Unknown and private classes may. */
export const mayHoldImage = (uid: string): boolean => !WITHOUT_IMAGE.test(uid.slice(ROOT.length));
