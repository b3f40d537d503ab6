// SPDX-License-Identifier: MIT
// process_pool_options::preload: how it comes to the zygote, which runs it before the first fork.
#pragma once

#include <cadre/process_pool_executor.hpp>

#include <cstddef>
#include <span>

namespace cadre::process {

/// In the pool: what run_preload() takes. Throws what encoding throws.
void encode_preload(encoder& out, worker_function& preload);

/// A preload_entry. Throws std::runtime_error, which says what the preload threw.
void run_preload(std::span<const std::byte> argument);

}  // namespace cadre::process
