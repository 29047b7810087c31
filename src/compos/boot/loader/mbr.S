/* mbr.S: the first sector of a disk: reads the loader (loader.S) and starts it.
 *
 * The BIOS puts this sector at 0x7c00, with the drive's number in %dl. It moves itself away, since the loader belongs there.
 * The build puts the loader's place into `packet`. Bytes 440 to 511 are the disk's own: signature and partition table.
 * Source: BIOS Enhanced Disk Drive Services 3.0, function 42h.
 */
	.code16
	.text
	.globl start

	.set origin, 0x7c00
	.set home, 0x600
	.set packet_at, 424

start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ss
	movw	$origin, %sp
	movw	%ax, %ds
	movw	%ax, %es
	sti
	cld
	movw	$origin, %si
	movw	$home, %di
	movw	$256, %cx
	rep movsw
	ljmp	$0, $moved
moved:
	movw	$5, %bp			/* tries: a drive may still be starting */
again:
	movb	$0x42, %ah
	movw	$packet, %si
	pushw	%dx
	int	$0x13
	popw	%dx
	jnc	loaded
	xorw	%ax, %ax
	pushw	%dx
	int	$0x13			/* reset the drive */
	popw	%dx
	decw	%bp
	jnz	again
	movw	$unreadable, %si
	jmp	fail
loaded:
	cmpl	$0x706d6f63, origin + 16	/* "comp", loader.S: signature */
	movw	$missing, %si
	jne	fail
	ljmp	$0, $origin

fail:
	lodsb
	testb	%al, %al
	jz	stop
	movb	$0x0e, %ah
	movw	$7, %bx
	int	$0x10
	jmp	fail
stop:
	hlt
	jmp	stop

unreadable:
	.asciz	"compos: the BIOS cannot read this disk\r\n"
missing:
	.asciz	"compos: the loader is not at its place on this disk\r\n"

	.org	packet_at
packet:
	.byte	16, 0			/* size of the packet */
	.word	4			/* sectors: 2048 bytes */
	.word	origin, 0		/* to 0:7c00 */
	.quad	0			/* from this sector; the build writes it */
