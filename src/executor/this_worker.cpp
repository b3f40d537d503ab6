// SPDX-License-Identifier: MIT
#include <cadre/this_worker.hpp>

#include "executor/worker_identity.hpp"

namespace cadre {
namespace {

constinit thread_local detail::worker_identity here{};

}  // namespace

void detail::set_worker_identity(const worker_identity& identity) noexcept { here = identity; }

std::optional<unsigned> this_worker::index() noexcept { return here.index; }
std::string_view this_worker::pool() noexcept { return here.pool; }

}  // namespace cadre
