#include <malloc.h>
#include <stdbool.h>
#include "batch.h"
#include "frame.h"
#include "intake.h"
#include "pick.h"
#include "recent.h"
#include "wire.h"
