#include <stdbool.h>
#include "batch.h"
#include "frame.h"
#include "intake.h"
#include "recent.h"
#include "wire.h"
