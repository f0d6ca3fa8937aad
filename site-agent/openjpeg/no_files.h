/* Before every source of OpenJPEG: no files and no environment, so that nothing of the system is linked. */
#include <stdio.h>
#include <stdlib.h>
#define fopen(name, mode) ((FILE *)0)
#define getenv(name) ((char *)0)
