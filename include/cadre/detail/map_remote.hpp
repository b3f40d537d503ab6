// SPDX-License-Identifier: MIT
// executor::map over other processes: chunks of elements cross as one call each. Included by
// executor.hpp.
#pragma once

#include <cadre/detail/map_start.hpp>
#include <cadre/detail/portable_call.hpp>

#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

namespace cadre {

/// The results of a chunk, and the exception that ended it.
template <typename R>
struct codec<detail::map_batch<R>> {
  using batch = detail::map_batch<R>;

  static void encode(encoder& out, const batch& b) {
    out.write(std::uint64_t{b.slots.size()});
    out.write(std::uint64_t{b.taken});
    out.write(std::uint8_t{b.error != nullptr});
    for (const auto& slot : b.slots) {
      if constexpr (std::is_void_v<R>) {
        out.write<unsigned char>(0);
      } else {
        if constexpr (detail::map_bare<R>) {
          cadre::encode(out, slot);
        } else {
          cadre::encode(out, *slot);
        }
        if constexpr (counts_empty) out.write<unsigned char>(0);
      }
    }
    if (b.error) detail::installed_crossings().encode_exception(out, b.error);
  }

  /// Without an exception, whose type may be the user's, if a result is.
  static bool is_plain(std::span<const std::byte> bytes) noexcept {
    constexpr std::size_t failed_at = 2 * sizeof(std::uint64_t);
    return detail::is_plain_type<R>() && bytes.size() > failed_at &&
           bytes[failed_at] == std::byte{0};
  }

  static batch decode(decoder& in) {
    const auto size = in.read_count(1);
    batch b{{}, static_cast<std::size_t>(in.read<std::uint64_t>()), nullptr};
    const bool failed = in.read<std::uint8_t>() != 0;
    if (failed ? size >= b.taken : size != b.taken) {
      in.fail("the results are not as many as the elements");
    }
    for (std::size_t i = 0; i < size; ++i) {
      if constexpr (std::is_void_v<R>) {
        b.slots.emplace_back();
        in.take(1);
      } else {
        b.slots.emplace_back(std::move(*detail::placed<detail::map_value<R>>{
            [&] { return cadre::decode<detail::map_value<R>>(in); }}));
        if constexpr (counts_empty) in.take(1);
      }
    }
    if (failed) b.error = detail::installed_crossings().decode_exception(in);
    return b;
  }

 private:
  // As in containers: no count exceeds the bytes that are left.
  static constexpr bool counts_empty = [] {
    if constexpr (std::is_void_v<R>) {
      return true;
    } else {
      return detail::min_size<detail::map_value<R>>() == 0;
    }
  }();
};

namespace detail {

/// The call for one batch, for an executor in other processes.
template <typename R, typename Function, typename Elements>
struct remote_batch_call {
  static constexpr bool is_portable = true;

  std::shared_ptr<const Function> function;
  std::vector<Elements> chunk;

  map_batch<R> operator()() { return run_batch<R>(*function, chunk); }
};

template <typename R, typename Function, typename Elements>
void encode_work(encoder& out, const remote_batch_call<R, Function, Elements>& work) {
  encode_callable(out, *work.function);
  encode(out, work.chunk);
}

template <typename R, typename Function, typename Elements>
struct work_decoder<remote_batch_call<R, Function, Elements>> {
  static remote_batch_call<R, Function, Elements> decode_from(decoder& in) {
    auto function = std::make_shared<const Function>(decode_callable<Function>(in));
    return {std::move(function), decode<std::vector<Elements>>(in)};
  }
};

template <typename Range>
using remote_element = std::iter_value_t<decltype(std::declval<Range&>().begin())>;

/// Without a size to go by: so many elements a call that all workers have some to choose from, and
/// few enough calls that these cost nothing beside them.
template <typename... Inputs>
std::size_t remote_chunk(const map_options& options, unsigned workers, const Inputs&... inputs) {
  constexpr std::size_t chunks_per_worker = 64;
  if (options.chunk_size != 0) return options.chunk_size;
  std::size_t elements = std::numeric_limits<std::size_t>::max();
  ((elements = std::min(elements, static_cast<std::size_t>(std::ranges::size(inputs)))), ...);
  return std::max<std::size_t>(elements / (chunks_per_worker * workers), 1);
}

template <typename R, typename Function, typename... Inputs>
map_results<R> start_remote_source(const char* who, executor& where, const map_options& options,
                                   std::size_t size, std::size_t chunk, time_point deadline,
                                   Function function, Inputs... inputs) {
  using elements = std::tuple<remote_element<Inputs>...>;
  using source = windowed_source<R, remote_batch_call, elements, Function, Inputs...>;
  return map_results<R>{std::make_unique<source>(who, where, options, size, chunk, deadline,
                                                 std::move(function),
                                                 std::tuple<Inputs...>{std::move(inputs)...})};
}

template <typename Executor, typename Function, std::ranges::input_range... Ranges>
auto start_remote_map(Executor& where, const map_options& options, Function&& function,
                      Ranges&&... ranges) {
  using plain = std::decay_t<Function>;
  if constexpr (can_map<plain, Ranges...>()) {
    using result = map_result<plain, decltype(make_input(std::declval<Ranges>()))...>;
    if (is_empty_callable(function)) throw_empty_callable("map");
    if (options.buffer_size == 0) throw_bad_buffer_size();
    if (options.caller_runs) throw_bad_caller_runs();
    const time_point deadline = deadline_after(options.timeout);
    if (options.buffer_size) {
      const std::size_t chunk = std::max<std::size_t>(options.chunk_size, 1);
      return start_remote_source<result, plain>("map", where, options, *options.buffer_size, chunk,
                                                deadline, std::forward<Function>(function),
                                                make_input(std::forward<Ranges>(ranges))...);
    }
    const auto start = [&](auto... inputs) {
      const std::size_t chunk = remote_chunk(options, where.max_workers(), inputs...);
      return start_remote_source<result, plain>(
          "map", where, options, std::numeric_limits<std::size_t>::max(), chunk, deadline,
          std::forward<Function>(function), std::move(inputs)...);
    };
    return start(make_indexed_input(std::forward<Ranges>(ranges))...);
  }
}

}  // namespace detail
}  // namespace cadre
