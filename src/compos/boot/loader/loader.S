/* loader.S: starts Linux on a BIOS: reads kernel, command line and initrd by their places, then jumps into the kernel.
 *
 * At 0:7c00, 2048 bytes long, with the drive's number in %dl; mbr.S puts it there from a disk, the BIOS itself from a CD
 * (El Torito without emulation). No file system is read: the build writes the places into `files`; with SLOTS, the slot
 * that is chosen says them (slots.S, and then this program has 4096 bytes).
 *
 *   0x07c00  this program; its stack below
 *   0x10000  the kernel's real-mode part, with its heap and, at 0x1e000, the command line
 *   0x20000  32 KiB through which everything is read: the BIOS reaches the first MiB only
 *   0x100000 the kernel's protected-mode part
 *   top      the initrd, as high as the kernel allows
 *
 * Sources: Linux, Documentation/arch/x86/boot.rst ("The Linux/x86 Boot Protocol"); BIOS Enhanced Disk Drive Services 3.0;
 * ACPI specification 6.5, 15.1 (INT 15h E820h).
 */
	.code16
	.text
	.globl start

	.set setup_segment, 0x1000
	.set setup, 0x10000
	.set setup_size, 65 * 512	/* the longest real-mode part */
	.set cmdline, 0x1e000
	.set buffer_segment, 0x2000
	.set buffer, 0x20000
	.set chunk, 32768
	.set high, 0x100000

start:
	jmp	begin
	.org	16
signature:
	.ascii	"compos-1"
	/* The build writes these: sector size as a power of two, then place (in sectors) and size (in bytes) of each file. */
shift:	.byte	9, 0, 0, 0, 0, 0, 0, 0
files:
kernel:
	.quad	0
	.long	0
arguments:
	.quad	0
	.long	0
initrd:
	.quad	0
	.long	0

#ifdef SLOTS
	.org	72
	/* The build writes these: the sectors of both copies of the block, first sector and id of each boot partition. */
blocks:	.quad	0, 0
boot_a:	.quad	0
	.space	36
boot_b:	.quad	0
	.space	36
#endif

begin:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp
	sti
	cld
	ljmp	$0, $normal		/* some BIOSes start CDs at 07c0:0000 */
normal:
	movb	%dl, drive
#ifdef SLOTS
	call	choose
attempt:
	call	select_slot
	movl	$0, initrd_at
#endif
	movw	$loading, %si
	call	print
	call	open_gate

	/* The kernel's real-mode part: it says what is where. */
	movw	$kernel, %si
	call	select
	cmpl	$setup_size, left
	jbe	1f
	movl	$setup_size, left
1:	movl	$setup, target
	call	load
	movw	$setup_segment, %ax
	movw	%ax, %gs
	movw	$no_kernel, %si
	cmpw	$0xaa55, %gs:0x1fe	/* boot_flag */
	jne	fail
	cmpl	$0x53726448, %gs:0x202	/* header: "HdrS" */
	jne	fail
	cmpw	$0x020a, %gs:0x206	/* version: pref_address and init_size are there */
	jb	fail
	call	place_initrd

	/* The command line. */
	movw	$arguments, %si
	call	select
	movl	$cmdline, target
	movl	left, %edi
	addl	$cmdline, %edi
	pushl	%edi
	call	load
	popl	%edi
#ifdef SLOTS
	call	tell_slot
#endif
	call	flat
	movb	$0, %al
	.byte	0x67
	stosb

	/* The kernel's protected-mode part, behind setup_sects sectors and the boot sector. */
	movw	$kernel, %si
	call	select
	movzbl	%gs:0x1f1, %eax
	testb	%al, %al
	jnz	2f
	movb	$4, %al
2:	incl	%eax
	shll	$9, %eax
	movl	%eax, skip
	movl	$high, target
	call	load

	movw	$initrd, %si
	call	select
	movl	initrd_at, %eax
	movl	%eax, target
	movl	%eax, %gs:0x218		/* ramdisk_image */
	movl	left, %eax
	movl	%eax, %gs:0x21c		/* ramdisk_size */
	call	load

	movw	$newline, %si
	call	print
	movb	$0xff, %gs:0x210	/* type_of_loader: none of those with a number */
	orb	$0x80, %gs:0x211	/* loadflags: CAN_USE_HEAP */
	movl	$high, %gs:0x214	/* code32_start */
	movw	$0xde00, %gs:0x224	/* heap_end_ptr: below the command line, less 0x200 */
	movl	$cmdline, %gs:0x228	/* cmd_line_ptr */
	movw	$0xffff, %gs:0x1fa	/* vid_mode: normal */

	cli
	movw	$setup_segment, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %ss
	movw	$0xe000, %sp
	ljmp	$setup_segment + 0x20, $0

/* The file whose place and size stand at %si becomes the one to load. */
select:
	movl	(%si), %eax
	movl	%eax, packet_sector
	movl	4(%si), %eax
	movl	%eax, packet_sector + 4
	movl	8(%si), %eax
	movl	%eax, left
	movl	$0, skip
	ret

/* Reads `left` bytes from `packet_sector` on, leaves the first `skip` out, puts the rest at `target`. */
load:
	movl	left, %eax
	testl	%eax, %eax
	jz	9f
	cmpl	$chunk, %eax
	jbe	1f
	movl	$chunk, %eax
1:	movl	%eax, %ebp		/* bytes of this chunk */
	movb	shift, %cl
	movl	$1, %ebx
	shll	%cl, %ebx
	leal	-1(%eax, %ebx), %eax
	shrl	%cl, %eax
	movw	%ax, packet_count
	call	read
	movzwl	packet_wanted, %eax
	addl	%eax, packet_sector
	adcl	$0, packet_sector + 4
	subl	%ebp, left
	movl	skip, %eax
	subl	%ebp, %eax
	jae	3f
	movl	skip, %esi
	movl	%ebp, %ecx
	subl	%esi, %ecx
	addl	$buffer, %esi
	movl	target, %edi
	addl	%ecx, target
	addl	$3, %ecx
	shrl	$2, %ecx
	call	flat
	.byte	0xf3, 0x67, 0x66, 0xa5	/* rep movsl, 32-bit addresses */
	movl	$0, skip
	jmp	4f
3:	movl	%eax, skip
4:	addl	%ebp, progress
	cmpl	$4 << 20, progress
	jb	load
	movl	$0, progress
	movb	$'.', %al
	call	letter
	jmp	load
9:	ret

/* One chunk into the buffer. */
read:
	movw	$0x4200, %ax
	call	transfer
	jnc	2f
	movw	$unreadable, %si
	call	print
	movzbl	status, %eax
	call	number
	movw	$closing, %si
	jmp	fail_rest
2:	ret

/* What `packet` says, by the function %ah of INT 13h; three tries. Carry if all fail. */
transfer:
	movw	%ax, function
	movw	packet_count, %ax
	movw	%ax, packet_wanted
	movw	$3, tries
1:	movw	packet_wanted, %ax
	movw	%ax, packet_count	/* the BIOS writes what it has read */
	movw	$packet, %si
	movb	drive, %dl
	movw	function, %ax
	pushl	%ebp
	int	$0x13
	popl	%ebp
	jnc	2f
	movb	%ah, status
	movb	$0, %ah
	movb	drive, %dl
	int	$0x13
	decw	tries
	jnz	1b
	stc
2:	ret

/* The highest place for the initrd: usable, above all that the kernel needs, below what it can address. */
place_initrd:
	movl	%gs:0x258, %eax		/* pref_address */
	addl	%gs:0x260, %eax		/* init_size */
	movl	kernel + 8, %ecx
	addl	$high, %ecx
	cmpl	%ecx, %eax
	jae	1f
	movl	%ecx, %eax
1:	movl	%eax, floor
	xorl	%ebx, %ebx
2:	movl	$0xe820, %eax
	movl	$0x534d4150, %edx	/* "SMAP" */
	movl	$20, %ecx
	movw	$range, %di
	int	$0x15
	jc	7f
	cmpl	$0x534d4150, %eax
	jne	7f
	cmpl	$1, range + 16		/* usable memory */
	jne	6f
	cmpl	$0, range + 4
	jne	6f
	movl	range, %esi
	movl	%esi, %edi
	addl	range + 8, %edi
	jc	3f
	cmpl	$0, range + 12
	je	4f
3:	movl	$0xfffff000, %edi
4:	movl	%gs:0x22c, %eax		/* initrd_addr_max: the last byte it may have */
	incl	%eax
	cmpl	%eax, %edi
	jbe	5f
	movl	%eax, %edi
5:	cmpl	floor, %esi
	jae	5f
	movl	floor, %esi
5:	subl	initrd + 8, %edi
	jc	6f
	andl	$0xfffff000, %edi
	cmpl	%esi, %edi
	jb	6f
	cmpl	initrd_at, %edi
	jbe	6f
	movl	%edi, initrd_at
6:	testl	%ebx, %ebx
	jnz	2b
7:	cmpl	$0, initrd_at
	jne	8f
	movw	$small, %si
	call	print
	movl	floor, %eax
	addl	initrd + 8, %eax
	shrl	$20, %eax
	incl	%eax
	call	number
	movw	$megabytes, %si
	jmp	fail_rest
8:	ret

/* Address line 20 off means that every second MiB is the one before: on, in the ways that machines have. */
open_gate:
	movw	$0x2401, %ax
	int	$0x15
	inb	$0x92, %al		/* system control port A */
	orb	$2, %al
	andb	$0xfe, %al		/* bit 0 restarts */
	outb	%al, $0x92
	ret

/* Segments of 4 GiB for %ds and %es in real mode: copies reach all memory. The BIOS may have taken them back. */
flat:
	cli
	lgdtl	table_pointer
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	jmp	1f
1:	movw	$8, %bx
	movw	%bx, %ds
	movw	%bx, %es
	andb	$0xfe, %al
	movl	%eax, %cr0
	jmp	2f
2:	xorw	%bx, %bx
	movw	%bx, %ds
	movw	%bx, %es
	sti
	ret

/* %eax in decimal. */
number:
	movl	$10, %ecx
	xorw	%bp, %bp
1:	xorl	%edx, %edx
	divl	%ecx
	pushw	%dx
	incw	%bp
	testl	%eax, %eax
	jnz	1b
2:	popw	%ax
	addb	$'0', %al
	call	letter
	decw	%bp
	jnz	2b
	ret

letter:
	movb	$0x0e, %ah
	movw	$7, %bx
	pushw	%bp			/* some BIOSes lose it when the screen scrolls */
	int	$0x10
	popw	%bp
	ret

/* The text at %si. */
print:
	lodsb
	testb	%al, %al
	jz	1f
	call	letter
	jmp	print
1:	ret

/* The reason at %si; then wait for a key and start again. */
fail:
	pushw	%si
	movw	$newline, %si
	call	print
	popw	%si
fail_rest:
	call	print
#ifdef SLOTS
	jmp	next_slot
#else
	movw	$restart, %si
	call	print
	xorw	%ax, %ax
	int	$0x16
	ljmp	$0xffff, $0
#endif

#ifdef SLOTS
#include "choose.S"
#endif

loading:
	.asciz	"compos: loading "
no_kernel:
	.asciz	"compos: there is no Linux kernel where one should be"
unreadable:
	.asciz	"\r\ncompos: cannot read the medium (BIOS error "
closing:
	.asciz	")"
small:
	.asciz	"\r\ncompos: too little memory: this system needs at least "
megabytes:
	.asciz	" MiB"
restart:
	.ascii	"\r\nPress a key to restart."
newline:
	.asciz	"\r\n"

	.balign 8
table:	.quad	0
	.quad	0x00cf92000000ffff	/* data, base 0, limit 4 GiB */
table_pointer:
	.word	table_pointer - table - 1
	.long	table

packet:
	.byte	16, 0
packet_count:
	.word	0
packet_offset:
	.word	0, buffer_segment
packet_sector:
	.quad	0
packet_wanted:
	.word	0
tries:	.word	0
function: .word	0
drive:	.byte	0
status:	.byte	0

	.balign 4
left:	.long	0
skip:	.long	0
target:	.long	0
progress: .long	0
floor:	.long	0
initrd_at: .long 0
range:	.long	0, 0, 0, 0, 0

#ifdef SLOTS
	.org	4096
#else
	.org	2048
#endif
