// SPDX-License-Identifier: MIT
// Which options a process pool can have: what a mistake in them would otherwise cost the first call, or
// each worker.
#pragma once

#include <cadre/process_pool_executor.hpp>

namespace cadre::process {

/// Throws std::invalid_argument.
void require_possible_options(const process_pool_options& options);

/// max_workers, or what there is without. Throws std::invalid_argument.
unsigned workers_of(const process_pool_options& options);

}  // namespace cadre::process
