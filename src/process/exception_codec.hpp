// SPDX-License-Identifier: MIT
// Exceptions on their way between processes.
//
// The types of the standard library and of cadre and the registered ones keep their type; others
// become remote_error. Those nested in one another are sent to a depth of 16.
#pragma once

#include <cadre/codec.hpp>
#include <cadre/errors.hpp>

#include <cstddef>
#include <exception>
#include <string_view>
#include <vector>

namespace cadre::detail {

/// max_message is about values; what a call throws may take so much more.
inline constexpr std::size_t exception_allowance = std::size_t{1} << 20;

/// Appends `e`, which was thrown in this process by the call of that name, at `frames`. What takes more
/// than `most` bytes or the encoder's limit, or fails in a user's function, is sent as a short
/// remote_error. Throws only std::bad_alloc, and codec_error if not even that fits: some hundred bytes.
void encode_exception(encoder& out, const std::exception_ptr& e, std::string_view call_name,
                      std::vector<stack_frame> frames = {}, std::size_t most = encoder::no_limit);

/// Throws codec_error for bytes that are no exception. A registered type whose function throws, or
/// that is not registered in this process, gives a remote_error.
std::exception_ptr decode_exception(decoder& in);

}  // namespace cadre::detail
