// SPDX-License-Identifier: MIT
// One home for the type information of the exceptions, so that a program and its shared libraries
// catch the same types.
#include <cadre/errors.hpp>

namespace cadre {

error::~error() = default;
cancelled_error::~cancelled_error() = default;
invalid_state_error::~invalid_state_error() = default;
timeout_error::~timeout_error() = default;
broken_promise::~broken_promise() = default;
shutdown_error::~shutdown_error() = default;
broken_executor::~broken_executor() = default;
queue_full::~queue_full() = default;
deadlock_error::~deadlock_error() = default;
codec_error::~codec_error() = default;

}  // namespace cadre
