/* Rust's library asks bcryptprimitives.dll for random bytes, and Wine 8 has no such library. */
typedef unsigned char byte;
__declspec(dllimport) byte __stdcall SystemFunction036(void *into, unsigned long count); /* RtlGenRandom */

__declspec(dllexport) int __stdcall ProcessPrng(byte *into, unsigned long long count) {
  const unsigned long most = 1UL << 20;
  for (; count > most; into += most, count -= most)
    if (!SystemFunction036(into, most)) return 0;
  return SystemFunction036(into, (unsigned long)count) != 0;
}
